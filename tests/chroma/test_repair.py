"""`vectorkit info` and `vectorkit repair` of a folder: what is said of torn graphs, and what becomes of them."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest

import vectorkit as vk
from vectorkit.maintenance import examine, repair

VECTORS = np.random.default_rng(4).normal(size=(1500, 16)).astype(np.float32)


def theirs(folder: Path, *calls: slice, space: str = "cosine") -> None:
    """A collection made with chromadb itself, which saves its graph after 200 records and deletes them from its log."""
    client: Any = chromadb.PersistentClient(str(folder))
    configuration: Any = {"hnsw": {"space": space, "sync_threshold": 200}}
    docs = client.get_or_create_collection("theirs", configuration=configuration, embedding_function=None)
    for call in calls:
        docs.add(ids=[f"{n:04}" for n in range(call.start, call.stop)], embeddings=list(VECTORS[call]))
    client._system.stop()
    client.clear_system_cache()


def graph_of(folder: Path) -> Path:
    (header,) = folder.glob("*/header.bin")
    return header.parent


def found_by_chroma(folder: Path, count: int) -> bool:
    """Whether chromadb, in a process of its own, finds every fiftieth record by its vector."""
    code = f"""
import chromadb, numpy as np
vectors = np.random.default_rng(4).normal(size=(1500, 16)).astype(np.float32)
docs = chromadb.PersistentClient({str(folder)!r}).get_collection("theirs", embedding_function=None)
assert docs.count() == {count}
for n in range(0, {count}, 50):
    assert docs.query(query_embeddings=[vectors[n]], n_results=1)["ids"] == [[f"{{n:04}}"]]
assert len(docs.query(query_embeddings=[vectors[0]], n_results={count})["ids"][0]) > {count} * 0.98
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("space", ["cosine", "l2"])
def test_chromas_own_collection_is_repaired(tmp_path: Path, space: str) -> None:
    """Its log was deleted: the vectors are in the graph, of which a killed process wrote the header and no more."""
    folder = tmp_path / "kb"
    theirs(folder, slice(0, 300), space=space)
    old = tmp_path / "old"
    shutil.copytree(graph_of(folder), old)
    before = (folder / "chroma.sqlite3").read_bytes()
    theirs(folder, slice(300, 600), space=space)
    # What a process leaves that is killed after the header: the row that says so, and the deletion, came later.
    graph = graph_of(folder)
    for name in ("data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle"):
        shutil.copy(old / name, graph / name)
    (folder / "chroma.sqlite3").write_bytes(before)

    condition = examine(f"chroma:{folder}")
    assert condition is not None
    assert not condition.whole
    (each,) = condition.collections
    assert (each.name, each.foreign, each.state, each.records, each.lacking) == ("theirs", True, "torn", 300, 0)
    assert condition.collections == examine(f"chroma:{folder}").collections  # type: ignore[union-attr]

    done = repair(f"chroma:{folder}")
    assert done.whole
    assert "Chroma makes it anew" in done.collections[0].repaired
    assert found_by_chroma(folder, 300)


def test_what_cannot_be_repaired_is_left(tmp_path: Path) -> None:
    theirs(tmp_path, slice(0, 300))
    graph = graph_of(tmp_path)
    (graph / "index_metadata.pickle").write_bytes(b"")
    files = {path: path.read_bytes() for path in graph.iterdir()}
    done = repair(f"chroma:{tmp_path}")
    assert not done.whole
    assert done.collections[0].lacking >= 299
    assert "nowhere else" in done.collections[0].repaired
    assert {path: path.read_bytes() for path in graph.iterdir()} == files


def test_a_folder_that_is_open_is_not_repaired(tmp_path: Path) -> None:
    with vk.connect(f"chroma:{tmp_path}") as store:
        store.create_collection("docs", dimension=16)
        with pytest.raises(vk.BackendUnavailableError):
            repair(f"chroma:{tmp_path}")
        assert examine(f"chroma:{tmp_path}") is None


def test_only_folders_are_repaired() -> None:
    for url in ("memory:", "chroma:", "chroma+http://localhost:1"):
        with pytest.raises(vk.UnsupportedError, match="chroma:PATH"):
            repair(url)
