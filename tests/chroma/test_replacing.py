"""Rule 1.7 on Chroma: a process that dies between the steps of a replacement leaves one whole collection."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vectorkit as vk
from vectorkit_chroma import ChromaBackend

KILLED = """
import os, signal, sys
import chromadb
import vectorkit as vk
from vectorkit_chroma.connections import client as clients

folder, steps = sys.argv[1], int(sys.argv[2])
store = vk.connect(f"chroma:{folder}")
old = store.create_collection("docs", dimension=2)
old.add(ids=["old"], embeddings=[[1, 2]])
new = store.create_collection("beside", dimension=3)
new.add(ids=["new"], embeddings=[[1, 2, 3]])
done = 0

def counted(method):
    def call(*arguments, **named):
        global done
        if done == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        return method(*arguments, **named)
    return call

chromadb.Collection.modify = counted(chromadb.Collection.modify)
clients.Server.delete_collection = counted(clients.Server.delete_collection)
store.backend.replace_collection(old.info(), new.info())
"""


def killed_after(folder: Path, steps: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(steps)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr


def opened(store: vk.VectorStore) -> None:
    assert [record.id for record in store.get_collection("docs").get()] == ["new"]


def listed(store: vk.VectorStore) -> None:
    assert [info.name for info in store.list_collections()] == ["docs"]


def created(store: vk.VectorStore) -> None:
    with pytest.raises(vk.CollectionExistsError):
        store.create_collection("docs", dimension=3)


def dropped(store: vk.VectorStore) -> None:
    store.drop_collection("docs")
    assert store.list_collections() == []


def test_before_the_first_step_the_old_one_is_there(tmp_path: Path) -> None:
    """1.7 Both as they were, and the replacement can be made."""
    killed_after(tmp_path, 0)
    with vk.connect(f"chroma:{tmp_path}") as store:
        docs, beside = store.get_collection("docs"), store.get_collection("beside")
        assert ([record.id for record in docs.get()], [record.id for record in beside.get()]) == (["old"], ["new"])
        store.backend.replace_collection(docs.info(), beside.info())
        opened(store)
        listed(store)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("look", [opened, listed, created, dropped])
def test_after_the_first_step_the_new_one_is_there(
    tmp_path: Path, steps: int, look: Callable[[vk.VectorStore], None]
) -> None:
    """1.7 Whatever is done with the name first finishes the replacement, and nothing else is left in Chroma."""
    killed_after(tmp_path, steps)
    with vk.connect(f"chroma:{tmp_path}") as store:
        look(store)
        if look is not dropped:
            opened(store)
            listed(store)
            found = store.get_collection("docs")
            assert found.search([1, 2, 3])[0].id == "new"
            assert found.info().spec == vk.CollectionSpec("docs", "cosine", 3)
        assert isinstance(store.backend, ChromaBackend)
        raw = store.backend._connection.client.list_collections(10, 0)  # pyright: ignore[reportPrivateUsage]
        assert [each.name for each in raw] == ([] if look is dropped else ["docs"])


def test_a_replacement_whose_new_collection_is_gone_is_taken_back(tmp_path: Path) -> None:
    """1.7 Dropped by another process at that moment: the old one is there again."""
    killed_after(tmp_path, 1)
    with vk.connect(f"chroma:{tmp_path}") as store:
        assert isinstance(store.backend, ChromaBackend)
        client = store.backend._connection.client  # pyright: ignore[reportPrivateUsage]
        client.delete_collection("beside")
        assert [record.id for record in store.get_collection("docs").get()] == ["old"]
        listed(store)
