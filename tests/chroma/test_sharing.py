"""Several users of one store: by one folder, by one client, on one server, by many threads."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.api import ClientAPI
from chromadb.config import Settings

import vectorkit as vk
from vectorkit_chroma import ChromaBackend


def filled(store: vk.VectorStore, name: str = "docs", count: int = 3) -> vk.Collection:
    collection = store.create_collection(name, dimension=2)
    collection.add(ids=[f"{n:04}" for n in range(count)], embeddings=[[1, n] for n in range(count)])
    return collection


def client_on(folder: Path) -> ClientAPI:
    return chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))


def test_stores_of_one_process_share_a_folder_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.3 What one writes the other sees, and the folder stays open until both are closed."""
    monkeypatch.chdir(tmp_path)
    one, other = vk.connect(f"chroma:{tmp_path / 'kb'}"), vk.connect("chroma:./kb")
    mine = filled(one)
    theirs = other.get_collection("docs")
    assert theirs.search([1, 0], k=1)[0].id == "0000"
    mine.delete(["0000"])
    assert theirs.count() == 2
    assert theirs.search([1, 0], k=9)[0].id == "0001"
    with pytest.raises(vk.DuplicateIdError):
        theirs.add(ids=["0001"], embeddings=[[1, 1]])
    one.close()
    theirs.upsert(ids=["0001"], embeddings=[[1, 1]])
    assert theirs.count() == 2
    other.drop_collection("docs")
    with pytest.raises(vk.CollectionNotFoundError):
        theirs.count()
    other.close()
    with pytest.raises(vk.BackendError, match="closed"):
        other.list_collections()


def test_what_another_process_wrote_in_between_is_seen(tmp_path: Path) -> None:
    """9.5 One process after the other: nothing known from before the folder was closed is relied upon."""
    url = f"chroma:{tmp_path / 'kb'}"
    with vk.connect(url) as before:
        kept = filled(before)
        assert kept.count() == 3
    code = "import sys, vectorkit as vk; vk.connect(sys.argv[1]).get_collection('docs').add(embeddings=[[2, 1]] * 5)"
    subprocess.run([sys.executable, "-c", code, url], check=True)
    with vk.connect(url) as store:
        collection = store.get_collection("docs")
        assert collection.count() == 8
        assert len(collection.search([1, 1], k=20)) == 8


def test_a_closed_store_in_memory_lets_its_threads_go() -> None:
    """9.3 Opening stores one after the other does not pile up what they run on."""
    before = threading.active_count(), _native_threads()
    for _ in range(3):
        with vk.connect("chroma:") as store:
            filled(store)
    deadline = time.monotonic() + 10
    while _native_threads() > before[1] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (threading.active_count(), _native_threads()) <= before


def _native_threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0


def test_changes_by_the_callers_client_itself_are_seen(tmp_path: Path) -> None:
    """6.1 Others may write through it, so nothing known about the collection is relied upon."""
    client = client_on(tmp_path / "theirs")
    with vk.VectorStore(ChromaBackend(client=client)) as store, vk.VectorStore(ChromaBackend(client=client)) as other:
        collection = filled(store, count=30)
        assert collection.search([1, 7], k=1)[0].id == "0007"
        client.get_collection("docs", embedding_function=None).delete(ids=["0007"])
        assert collection.count() == 29
        assert len(collection.search([1, 7], k=100)) == 29
        with pytest.raises(vk.DuplicateIdError):
            other.get_collection("docs").add(ids=["0001"], embeddings=[[1, 1]])
        assert not store.backend.capabilities.atomic_add
        assert store.backend.capabilities.persistent


def test_a_client_that_is_none_is_refused() -> None:
    """8.2 So are arguments that do not go together."""
    with pytest.raises(vk.InvalidArgumentError, match="chromadb client"):
        ChromaBackend(client=object())
    with pytest.raises(vk.InvalidArgumentError, match="either a URL"):
        ChromaBackend()
    with pytest.raises(vk.InvalidArgumentError, match="headers"):
        ChromaBackend("chroma:", headers={"x-token": "secret"})
    with pytest.raises(vk.InvalidArgumentError, match="printable") as caught:
        ChromaBackend("chroma+http://localhost", headers={"x-token": "secret\n"})
    assert "secret" not in str(caught.value)
    with pytest.raises(vk.InvalidArgumentError, match="headers=") as caught:
        ChromaBackend("chroma+http://user:secret@localhost")
    assert "secret" not in str(caught.value)


def test_a_missing_database_is_named(chroma_http_url: str, tmp_path: Path) -> None:
    """8.3 The message says what is missing and how it is made."""
    for url in (f"chroma+{chroma_http_url}", f"chroma:{tmp_path / 'kb'}"):
        with pytest.raises(vk.BackendError, match="elsewhere"):
            ChromaBackend(url, database="elsewhere")
    with vk.connect(f"chroma:{tmp_path / 'kb'}") as store:  # the failed attempt let the folder go
        filled(store)


def test_foreign_collections_are_not_dropped(tmp_path: Path) -> None:
    """1.3 What this library did not make it does not unmake."""
    client = client_on(tmp_path / "theirs")
    client.create_collection("foreign", embedding_function=None).add(
        ids=["a"], embeddings=np.ones((1, 2), dtype=np.float32)
    )
    client.create_collection("later", embedding_function=None, metadata={"vectorkit": '{"schema": 2}'})
    with vk.VectorStore(ChromaBackend(client=client)) as store:
        with pytest.raises(vk.CollectionMismatchError, match="not made by vectorkit"):
            store.drop_collection("foreign")
        with pytest.raises(vk.CollectionMismatchError, match="version 2"):
            store.get_collection("later")
    assert client.get_collection("foreign", embedding_function=None).count() == 1


def test_all_of_many_collections_are_listed(chroma_http_url: str) -> None:
    """1.1 Whatever a server hands out at once, in ascending order of name."""
    with vk.connect(f"chroma+{chroma_http_url}") as store:
        names = sorted(f"listed-{n}" for n in range(130))
        for name in names:
            store.create_collection(name, dimension=1)
        assert [info.name for info in store.list_collections() if info.name.startswith("listed-")] == names
        for name in names:
            store.drop_collection(name)


def test_another_store_on_the_server_sees_and_makes_changes(chroma_http_url: str) -> None:
    """9.5 Nothing that one store knows about a collection misleads it when another changes that."""
    with vk.connect(f"chroma+{chroma_http_url}") as one, vk.connect(f"chroma+{chroma_http_url}") as other:
        mine = filled(one, "shared", count=2500)
        theirs = other.get_collection("shared")
        assert len(theirs.search([1, 0], k=5)) == 5
        mine.delete([f"{n:04}" for n in range(2495)])
        assert [hit.id for hit in theirs.search([1, 0], k=10)] == [f"{n:04}" for n in range(2495, 2500)]
        one.drop_collection("shared")
        again = filled(one, "shared")
        with pytest.raises(vk.CollectionNotFoundError):
            theirs.search([1, 0])
        assert again.count() == 3
        one.drop_collection("shared")


@pytest.mark.parametrize("kind", ["memory", "disk", "http"])
def test_many_threads_meet_no_internal_error(kind: str, tmp_path: Path, chroma_http_url: str) -> None:
    """9.3 Readers race with deletions, upserts and indexes that are loaded again."""
    url = {"memory": "chroma:", "disk": f"chroma:{tmp_path / 'kb'}", "http": f"chroma+{chroma_http_url}"}[kind]
    failures: list[BaseException] = []
    with vk.connect(url) as store:
        collection = filled(store, "threads", count=400)

        def run(work: int) -> None:
            try:
                for turn in range(12):
                    if work == 0:
                        collection.delete([f"{n:04}" for n in range(turn * 10, turn * 10 + 10)])
                    elif work == 1:
                        collection.upsert(ids=[f"new-{turn}"], embeddings=[[turn, 1]], metadatas=[{"new": True}])
                    elif work == 2:
                        assert len(collection.search([1, 5], k=50, where={"new": {"$ne": True}})) == 50
                    else:
                        collection.search([1, 5], k=20, exact=work % 2 == 0)
                        collection.get(where={"new": True}, include_embeddings=True)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(work,)) for work in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert collection.count() == 400 - 120 + 12
        store.drop_collection("threads")
