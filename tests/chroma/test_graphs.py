"""The graphs that Chroma saves on disk: what is not whole is found before Chroma starts, and made anew from the log."""

import json
import logging
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest

import vectorkit as vk
from vectorkit_chroma.graphs import ledger
from vectorkit_chroma.graphs.files import TornError, UnknownFormatError, read

ORDER = ["header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle"]
"""In which Chroma writes a graph's files."""

VECTORS = np.random.default_rng(3).normal(size=(1600, 24)).astype(np.float32)


def ids(start: int, end: int) -> list[str]:
    return [f"{n:03}" for n in range(start, end)]


def filled(folder: Path, **options: Any) -> None:
    """A store with one collection, whose graph was saved with 500 records."""
    with vk.connect(f"chroma:{folder}") as store:
        docs = store.create_collection("docs", dimension=24, **options)
        docs.add(ids=ids(0, 500), embeddings=VECTORS[:500])


def graph_of(folder: Path) -> Path:
    (header,) = folder.glob("*/header.bin")
    return header.parent


def rows(folder: Path, query: str) -> list[Any]:
    database = sqlite3.connect(folder / "chroma.sqlite3")
    try:
        with database:
            return database.execute(query).fetchall()
    finally:
        database.close()


def check(folder: Path, vectors: dict[str, Any]) -> None:
    """Everything that should be there is, and the index finds it."""
    with vk.connect(f"chroma:{folder}") as store:
        docs = store.get_collection("docs")
        records = docs.get(include_embeddings=True)
        assert [record.id for record in records] == sorted(vectors)
        held = np.array([record.embedding for record in records])
        np.testing.assert_allclose(held, np.array([vectors[record.id] for record in records]), atol=1e-5)
        for id in sorted(vectors)[::97]:
            assert docs.search(vectors[id], k=1, exact=False)[0].id == id


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger="vectorkit"):
        yield caplog


def test_graphs_are_saved_and_the_log_is_kept(tmp_path: Path) -> None:
    """9.4 A graph is a cache of the log, which holds every record whatever was saved."""
    filled(tmp_path)
    graph = read(graph_of(tmp_path))
    assert graph is not None
    assert sorted(graph.ids.values()) == ids(0, 500)
    assert rows(tmp_path, "SELECT count(*) FROM embeddings_queue") == [(500,)]
    check(tmp_path, dict(zip(ids(0, 500), VECTORS, strict=False)))


def interrupted(old: Path, new: Path, parts: int, share: float, to: Path) -> None:
    """What a process leaves that is killed after so many whole files and a share of the next one."""
    for place, name in enumerate(ORDER):
        written, before = (new / name).read_bytes(), (old / name).read_bytes()
        end = len(written) if place < parts else int(len(written) * share) if place == parts else 0
        # The last file is emptied before it is written, the others are written over.
        rest = before[end:] if end or place != parts or name != ORDER[-1] else b""
        (to / name).write_bytes(written[:end] + (b"" if name == ORDER[-1] and place == parts else rest))


@pytest.mark.parametrize("change", ["add", "upsert", "delete"])
def test_a_save_that_was_cut_anywhere_is_made_good(tmp_path: Path, change: str) -> None:
    """9.4 Torn files are found; those that pass are completed from the log."""
    folder, old, new = tmp_path / "kb", tmp_path / "old", tmp_path / "new"
    filled(folder)
    shutil.copytree(folder, old)
    vectors = dict(zip(ids(0, 500), VECTORS, strict=False))
    with vk.connect(f"chroma:{folder}") as store:
        docs = store.get_collection("docs")
        if change == "add":
            docs.add(ids=ids(500, 800), embeddings=VECTORS[500:800])
            vectors.update(zip(ids(500, 800), VECTORS[500:], strict=False))
        elif change == "upsert":
            docs.upsert(ids=ids(0, 300), embeddings=VECTORS[500:800])
            vectors.update(zip(ids(0, 300), VECTORS[500:], strict=False))
        else:
            docs.delete(ids(0, 300))
            vectors = {id: vector for id, vector in vectors.items() if id >= "300"}
    shutil.copytree(folder, new)
    torn = 0
    for parts, share in [(0, 0.5), (1, 0.0), (1, 0.03), (1, 0.5), (2, 0.0), (3, 0.0), (3, 0.5), (4, 0.0), (4, 0.5)]:
        shutil.rmtree(folder)
        shutil.copytree(new, folder)
        name = graph_of(folder).name
        interrupted(old / name, new / name, parts, share, folder / name)
        saved = rows(old, f"SELECT seq_id FROM max_seq_id WHERE segment_id = '{name}'")[0][0]
        rows(folder, f"UPDATE max_seq_id SET seq_id = {saved} WHERE segment_id = '{name}'")
        recorded = json.loads((old / "vectorkit.graphs").read_text())
        recorded.update(running=True, boot=ledger.boot_id(), whole={})
        (folder / "vectorkit.graphs").write_text(json.dumps(recorded))
        try:
            read(folder / name)
        except TornError:
            torn += 1
        check(folder, vectors)
    assert torn >= (2 if change == "upsert" else 5)


def test_a_graph_that_is_older_than_its_row_is_made_anew(tmp_path: Path, warned: pytest.LogCaptureFixture) -> None:
    """9.4 After a loss of power, files of an earlier moment may fit together, and yet lack records."""
    filled(tmp_path / "kb")
    name = graph_of(tmp_path / "kb").name
    shutil.copytree(tmp_path / "kb" / name, tmp_path / "old")
    with vk.connect(f"chroma:{tmp_path / 'kb'}") as store:
        store.get_collection("docs").upsert(ids=ids(0, 300), embeddings=VECTORS[500:800])
        store.get_collection("docs").add(ids=ids(500, 800), embeddings=VECTORS[900:1200])
    for file in (tmp_path / "old").iterdir():
        shutil.copy(file, tmp_path / "kb" / name)
    record = tmp_path / "kb" / "vectorkit.graphs"
    record.write_text(json.dumps({**json.loads(record.read_text()), "running": True, "boot": "another"}))
    vectors = dict(zip(ids(0, 500), VECTORS, strict=False))
    vectors.update(zip(ids(0, 300), VECTORS[500:], strict=False))
    vectors.update(zip(ids(500, 800), VECTORS[900:], strict=False))
    check(tmp_path / "kb", vectors)
    assert "is made anew" in warned.text


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_old_vectors_among_new_links_are_found(tmp_path: Path, warned: pytest.LogCaptureFixture, metric: str) -> None:
    """9.4 After a loss of power, vectors are compared with those in the log."""
    filled(tmp_path, metric=metric)
    graph = graph_of(tmp_path)
    found = read(graph)
    assert found is not None
    raw = bytearray((graph / "data_level0.bin").read_bytes())
    size = len(raw) // found.elements
    raw[size * 7 + 132 : size * 7 + 136] = np.float32(0.777).tobytes()
    (graph / "data_level0.bin").write_bytes(raw)
    check(tmp_path, dict(zip(ids(0, 500), VECTORS, strict=False)))
    assert "other vectors than the log" in warned.text


def test_a_torn_graph_without_its_log_is_refused_and_left(tmp_path: Path) -> None:
    """9.4 Where vectors are nowhere else, nothing is touched, and the message says what there is to do."""
    filled(tmp_path)
    rows(tmp_path, "DELETE FROM embeddings_queue WHERE seq_id < 100")
    links = graph_of(tmp_path) / "link_lists.bin"
    links.write_bytes(links.read_bytes()[:-2])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(vk.BackendError, match=r"lacks the vectors of 99 records.*vectorkit repair"):
        vk.connect(f"chroma:{tmp_path}")
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_log_that_was_deleted_from_is_completed(tmp_path: Path) -> None:
    """9.4 `chroma vacuum` switches deleting on: what the log then lacks is written back, from the graph."""
    filled(tmp_path)
    rows(tmp_path, "DELETE FROM embeddings_queue WHERE seq_id < 500")
    rows(tmp_path, "DELETE FROM embeddings_queue_config")
    vk.connect(f"chroma:{tmp_path}").close()
    assert rows(tmp_path, "SELECT count(*) FROM embeddings_queue") == [(500,)]
    shutil.rmtree(graph_of(tmp_path))
    check(tmp_path, dict(zip(ids(0, 500), VECTORS, strict=False)))


def test_the_log_is_reduced_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """9.4 Of the writes of a record the last vector stays, and the highest number is never given twice."""
    monkeypatch.setattr("vectorkit_chroma.graphs.folder._SPARE", 100)
    filled(tmp_path)
    with vk.connect(f"chroma:{tmp_path}") as store:
        docs = store.get_collection("docs")
        docs.upsert(ids=ids(0, 250), embeddings=VECTORS[500:750])
        docs.update(ids=ids(100, 350), embeddings=VECTORS[800:1050])
        docs.delete(ids(400, 500))
        docs.add(ids=ids(400, 550), embeddings=VECTORS[1100:1250])
        docs.delete(ids(540, 550))
    vectors = dict(zip(ids(0, 500), VECTORS, strict=False))
    vectors.update(zip(ids(0, 250), VECTORS[500:], strict=False))
    vectors.update(zip(ids(100, 350), VECTORS[800:], strict=False))
    vectors.update(zip(ids(400, 540), VECTORS[1100:], strict=False))
    ((highest, count),) = rows(tmp_path, "SELECT max(seq_id), count(*) FROM embeddings_queue")
    assert count == 500 + 250 + 250 + 100 + 150 + 10
    with vk.connect(f"chroma:{tmp_path}") as store:  # this reduces, up to what was saved
        store.get_collection("docs").upsert(ids=["000"], embeddings=VECTORS[1500:1501])
    vectors["000"] = VECTORS[1500]
    ((top, left),) = rows(tmp_path, "SELECT max(seq_id), count(*) FROM embeddings_queue")
    assert top == highest + 1
    assert left < 800
    check(tmp_path, vectors)
    shutil.rmtree(graph_of(tmp_path))
    check(tmp_path, vectors)


def test_collections_of_others_keep_working_and_are_trimmed(tmp_path: Path) -> None:
    """9.5 What another program has in the folder works as before, and its log does not grow for ever."""
    client: Any = chromadb.PersistentClient(str(tmp_path))
    theirs = client.create_collection("theirs", embedding_function=None)
    theirs.add(ids=ids(0, 900), embeddings=list(VECTORS[:900]))
    client._system.stop()
    client.clear_system_cache()
    filled(tmp_path)
    client = chromadb.PersistentClient(str(tmp_path))
    theirs = client.get_collection("theirs", embedding_function=None)
    theirs.upsert(ids=ids(0, 900), embeddings=list(VECTORS[:900][::-1]))
    theirs.upsert(ids=ids(0, 900), embeddings=list(VECTORS[:900]))
    client._system.stop()
    client.clear_system_cache()
    with vk.connect(f"chroma:{tmp_path}") as store:
        assert store.get_collection("docs").count() == 500
    topics = dict(rows(tmp_path, "SELECT topic, count(*) FROM embeddings_queue GROUP BY topic"))
    assert sorted(topics.values()) == [500, 901]  # they save after 1,000: the last call was not, the others went
    client = chromadb.PersistentClient(str(tmp_path))
    theirs = client.get_collection("theirs", embedding_function=None)
    assert theirs.count() == 900
    assert theirs.query(query_embeddings=[VECTORS[5]], n_results=1)["ids"] == [["005"]]
    client._system.stop()
    client.clear_system_cache()


def test_a_torn_graph_of_others_is_not_loaded(tmp_path: Path, warned: pytest.LogCaptureFixture) -> None:
    """9.5 Chroma may crash on it: their collection is refused, ours work."""
    client: Any = chromadb.PersistentClient(str(tmp_path))
    client.create_collection("theirs", embedding_function=None).add(ids=ids(0, 900), embeddings=list(VECTORS[:900]))
    client.get_collection("theirs", embedding_function=None).upsert(ids=ids(0, 900), embeddings=list(VECTORS[:900]))
    client._system.stop()
    client.clear_system_cache()
    links = graph_of(tmp_path) / "link_lists.bin"
    links.write_bytes(links.read_bytes()[:-2])
    with vk.connect(f"chroma:{tmp_path}") as store:
        ours = store.create_collection("docs", dimension=24)
        ours.add(ids=["a"], embeddings=VECTORS[:1])
        assert ours.count() == 1
        with pytest.raises(vk.BackendError, match="may crash on it"):
            list(store.backend.scan_foreign("theirs"))
    assert "which another program made, is torn" in warned.text


@pytest.mark.parametrize("newer", ["header", "pickle", "file", "setting"])
def test_what_a_newer_chroma_may_do_makes_it_save_nothing(
    tmp_path: Path, warned: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, newer: str
) -> None:
    """9.4 Where its files are not known here, no graph is thrown away and none is saved."""

    def unknown(database: object) -> None:
        """As of a setting that is not known."""

    filled(tmp_path)
    graph = graph_of(tmp_path)
    if newer == "header":
        raw = (graph / "header.bin").read_bytes()
        (graph / "header.bin").write_bytes(b"\x02" + raw[1:])
    elif newer == "pickle":
        with (graph / "index_metadata.pickle").open("rb+") as file:
            held = pickle.load(file)
            file.seek(0)
            file.truncate()
            pickle.dump({**held, "epoch": 1}, file)
    elif newer == "file":
        (graph / "journal.bin").write_bytes(b"")
    else:
        monkeypatch.setattr("vectorkit_chroma.graphs.folder.keeps_log", unknown)
    files = {path: path.read_bytes() for path in graph.iterdir()}
    with suppress(vk.BackendError), vk.connect(f"chroma:{tmp_path}") as store:
        docs = store.get_collection("docs")
        docs.upsert(ids=ids(0, 300), embeddings=VECTORS[500:800])  # some of these Chroma 1.5.9 cannot read
        assert docs.count() == 500
    assert {path: path.read_bytes() for path in graph.iterdir()} == files
    assert "does not store graphs as it did" in warned.text


def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    filled(tmp_path)
    graph = graph_of(tmp_path)
    (graph / "index_metadata.pickle").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path).encode() + b"/ran'\ntR.")
    with pytest.raises(UnknownFormatError, match=r"os\.system"):
        read(graph)
    assert not (tmp_path / "ran").exists()


def test_a_folder_of_a_release_that_saved_no_graph_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.4 Older releases saved none: there is a whole log; from now on graphs are saved."""
    with monkeypatch.context() as patch:
        patch.setattr("vectorkit_chroma.connections.systems._SYNC_THRESHOLD", 10**9)
        filled(tmp_path)
    rows(tmp_path, "DELETE FROM embeddings_queue_config")
    (tmp_path / "vectorkit.graphs").unlink()
    assert not list(tmp_path.glob("*/index_metadata.pickle"))
    check(tmp_path, dict(zip(ids(0, 500), VECTORS, strict=False)))
    assert read(graph_of(tmp_path)) is not None


def test_chroma_still_breaks_on_a_torn_graph(tmp_path: Path) -> None:
    """The day this fails, Chroma mends its graphs itself: then the check before it starts can go."""
    filled(tmp_path / "kb")
    shutil.copytree(tmp_path / "kb", tmp_path / "old")
    with vk.connect(f"chroma:{tmp_path / 'kb'}") as store:
        store.get_collection("docs").add(ids=ids(500, 800), embeddings=VECTORS[500:800])
    name = graph_of(tmp_path / "kb").name
    interrupted(tmp_path / "old" / name, tmp_path / "kb" / name, 1, 0.0, tmp_path / "kb" / name)
    code = f"""
import chromadb
docs = chromadb.PersistentClient({str(tmp_path / "kb")!r}).get_collection("docs", embedding_function=None)
assert len(docs.query(query_embeddings=[[1.0] * 24], n_results=800)["ids"][0]) == 800
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0


@pytest.mark.parametrize("what", ["text", "other", "truncated"])
def test_a_database_that_is_not_chromas_is_left_alone(tmp_path: Path, what: str) -> None:
    """9.5 A folder of another program, and a file that lost its end, are refused, and nothing is written there."""
    path = tmp_path / "chroma.sqlite3"
    if what == "text":
        path.write_text("not a database at all" * 50)
    elif what == "other":
        rows(tmp_path, "CREATE TABLE accounts (id INTEGER)")
    else:
        filled(tmp_path)
        path.write_bytes(path.read_bytes()[:50_000])
        (tmp_path / "vectorkit.lock").unlink()
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(vk.BackendError, match=r"chroma\.sqlite3 must"):
        vk.connect(f"chroma:{tmp_path}")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
