"""What is written to the primary comes to the secondary: all of it, in order, whatever happens to the secondary."""

import gc
import os
import resource
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vectorkit import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    DuplicateIdError,
    InvalidArgumentError,
    MemoryBackend,
    UnsupportedError,
    VectorBackend,
    VectorStore,
    embedder,
)
from vectorkit.backend.requests import Read
from vectorkit.mirror import MirrorBackend
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.embedded.server import EmbeddedServer

Contents = Callable[[VectorBackend], dict[str, list[tuple[object, ...]]]]
Mirrors = Callable[..., MirrorBackend]
Fill = Callable[..., None]

OTHER = embedder(lambda texts: [[1.0, 2.0]] * len(texts), dimension=2, name="other")


def test_a_mirror_has_what_its_primary_has(mirrored: Mirrors, postgres_url: str) -> None:
    """9.2 Text search, if both have it; indexes and replacing, if the primary has them."""
    mirror = mirrored(ChromaBackend("chroma:"), MemoryBackend())
    assert isinstance(mirror, VectorBackend)
    assert mirror.capabilities.text_search
    assert mirror.capabilities.replacing
    assert not mirror.capabilities.index_changes
    assert mirror.name.endswith("in memory, mirrored to memory")
    mirror.close()
    mirror = mirrored(PgVectorBackend(postgres_url), MemoryBackend())
    assert mirror.capabilities.index_changes
    assert mirror.capabilities.persistent
    assert not mirror.capabilities.multi_process


def test_text_search_that_the_secondary_lacks_is_refused(mirrored: Mirrors) -> None:
    """9.2 Also the text index of a collection to be created."""

    class Wordless(MemoryBackend):
        @property
        def capabilities(self) -> Any:
            return replace(super().capabilities, text_search=False)

    mirror = mirrored(MemoryBackend(), Wordless())
    assert not mirror.capabilities.text_search
    with pytest.raises(UnsupportedError, match="not both have text search"):
        VectorStore(mirror).create_collection("docs", dimension=2, text_index=True, language="none")
    assert mirror.list_collections() == []


def test_what_the_primary_holds_already_is_brought_over(mirrored: Mirrors, fill: Fill, contents: Contents) -> None:
    primary, secondary = MemoryBackend(), ChromaBackend("chroma:")
    fill(primary, numbers=range(2500))
    fill(primary, "others", numbers=range(3))
    fill(secondary, numbers=range(1000, 1200), text="an older text")  # a copy made earlier
    mirror = mirrored(primary, secondary)
    assert len(mirror.list_collections()) == 2
    mirror.flush()
    assert contents(secondary) == contents(primary)


def test_a_collection_that_holds_more_than_the_primary_is_left_alone(
    mirrored: Mirrors, fill: Fill, contents: Contents
) -> None:
    """As it is when primary and secondary were exchanged by mistake."""
    primary, secondary = MemoryBackend(), MemoryBackend()
    fill(secondary, numbers=range(10))
    before = contents(secondary)
    mirror = mirrored(primary, secondary)
    fill(mirror, numbers=range(3))
    with pytest.raises(BackendTimeoutError, match="holds records that the primary has not"):
        mirror.flush(0.5)
    assert contents(secondary) == before
    secondary.drop_collection("docs")
    mirror.flush()
    assert contents(secondary) == contents(primary)


@pytest.mark.parametrize("setting", [{"metric": "ip"}, {"dimension": 3}, {"embedder": OTHER}])
def test_a_collection_of_another_kind_is_left_alone(mirrored: Mirrors, fill: Fill, setting: dict[str, Any]) -> None:
    primary, secondary = MemoryBackend(), MemoryBackend()
    settings: dict[str, Any] = {"metric": "l2", "dimension": 2, **setting}
    VectorStore(secondary).create_collection("docs", **settings)
    mirror = mirrored(primary, secondary)
    fill(mirror)
    (what,) = setting
    with pytest.raises(BackendTimeoutError, match=f"has {what} .*that of the primary"):
        mirror.flush(0.5)
    assert mirror.count(mirror.open_collection("docs")) == 3


def test_a_write_that_the_primary_refuses_is_the_callers_and_changes_nothing(
    mirrored: Mirrors, fill: Fill, contents: Contents
) -> None:
    """3.2 The ids were in the journal all the same."""
    primary, secondary = MemoryBackend(), MemoryBackend()
    mirror = mirrored(primary, secondary)
    fill(mirror)
    before = contents(primary)
    with pytest.raises(DuplicateIdError):
        VectorStore(mirror).get_collection("docs").add(ids=["00001", "new"], embeddings=[[9, 9], [9, 9]])
    mirror.flush()
    assert contents(primary) == contents(secondary) == before


def test_a_secondary_that_is_down_is_nobodys_problem(
    mirrored: Mirrors, fill: Fill, contents: Contents, tmp_path: Path
) -> None:
    """A real server, stopped and started: writes go on, and it takes over what it missed."""
    folder = tmp_path / "server"
    primary = MemoryBackend()
    server = EmbeddedServer.start(folder)
    mirror = mirrored(primary, PgVectorBackend(f"{server.conninfo}&connect_timeout=2"))
    fill(mirror, numbers=range(20))
    mirror.flush()
    server.close()
    while (folder / "data" / "postmaster.pid").exists():
        time.sleep(0.05)
    docs = VectorStore(mirror).get_collection("docs")
    fill(mirror, numbers=range(10, 30), text="new text")
    assert docs.delete(where={"number": {"$lt": 5}}) == 5
    docs.update(ids=["00007"], metadatas=[{"late": None}], merge=True)
    fill(mirror, "made-meanwhile")
    assert [hit.id for hit in docs.search([7, 1], 2)] == ["00007", "00006"]
    deadline = time.monotonic() + 60
    while mirror.report().failures == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    report = mirror.report()
    assert report.journal >= 4
    assert report.last_error is not None
    assert "BackendUnavailableError" in report.last_error
    with EmbeddedServer.start(folder):
        mirror.flush()
        assert contents(mirror.secondary) == contents(primary)
        assert (mirror.report().journal, mirror.report().last_error) == (0, None)


def test_writes_queue_behind_those_that_wait(mirrored: Mirrors, fill: Fill, unsteady: Any, contents: Contents) -> None:
    """Those of a collection in their order; another collection need not wait for them."""
    primary = MemoryBackend()
    mirror = mirrored(primary, unsteady)
    fill(mirror, "docs", [0])
    fill(mirror, "others", [0])
    mirror.flush()
    unsteady.written.clear()
    unsteady.away.set()
    for number in range(1, 1500):
        fill(mirror, "docs", [number])
    fill(mirror, "others", [1])
    unsteady.away.clear()
    fill(mirror, "docs", [1500])
    mirror.flush()
    written = [id for name, ids in unsteady.written if name == "docs" for id in ids]
    assert written == [f"{number:05}" for number in range(1, 1501)]
    assert contents(unsteady) == contents(primary)


def test_a_collection_dropped_and_made_again_meanwhile_is_the_new_one(
    mirrored: Mirrors, fill: Fill, unsteady: Any, contents: Contents
) -> None:
    """1.6 Of other settings, with none of the old records."""
    primary = MemoryBackend()
    mirror = mirrored(primary, unsteady)
    store = VectorStore(mirror)
    fill(mirror, numbers=range(10))
    fill(mirror, "gone")
    mirror.flush()
    unsteady.away.set()
    fill(mirror, numbers=[99])
    store.drop_collection("docs")
    store.drop_collection("gone")
    store.create_collection("docs", dimension=3, metric="ip").add(ids=["a"], embeddings=[[1, 2, 3]])
    unsteady.away.clear()
    mirror.flush()
    assert contents(unsteady) == contents(primary)
    assert unsteady.open_collection("docs").metric == "ip"


def test_nothing_is_lost_with_eight_threads(mirrored: Mirrors, fill: Fill, unsteady: Any, contents: Contents) -> None:
    """9.3 That write the same records, delete by filter, and drop a collection, while the secondary comes and goes."""
    primary = MemoryBackend()
    mirror = mirrored(primary, unsteady, sample=0.2)
    fill(mirror, numbers=range(50))
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.02):
            unsteady.away.clear() if unsteady.away.is_set() else unsteady.away.set()
        unsteady.away.clear()

    def work(thread: int) -> None:
        docs = VectorStore(mirror).get_collection("docs")
        for turn in range(40):
            fill(mirror, numbers=range(turn, turn + 10), text=f"of {thread} in turn {turn}")
            docs.delete(where={"number": {"$in": [turn + thread, turn + 1]}})
            docs.search([turn, 1], 5)
            fill(mirror, f"own-{thread}", [turn])
            if turn % 10 == 9:
                mirror.drop_collection(f"own-{thread}")

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    stop.set()
    disturbing.join()
    mirror.flush()
    assert contents(unsteady) == contents(primary)
    assert mirror.report().overlap in (None, 1.0)


def test_the_journal_survives_the_mirror(mirrored: Mirrors, fill: Fill, unsteady: Any, tmp_path: Path) -> None:
    """9.4 What the secondary missed before the end of one mirror, the next one gives it."""
    path = f"chroma:{tmp_path / 'store'}"
    mirror = mirrored(ChromaBackend(path), unsteady)
    fill(mirror, numbers=range(3))
    mirror.flush()
    unsteady.away.set()
    fill(mirror, numbers=range(3, 6))
    VectorStore(mirror).get_collection("docs").delete(["00000"])
    while mirror.report().failures == 0:
        time.sleep(0.01)
    unsteady.close = lambda: None  # a store in memory is gone when it is closed
    mirror.close()
    unsteady.away.clear()
    again = mirrored(ChromaBackend(path), unsteady)
    assert again.report().journal == 2
    again.flush()
    assert [record.id for record in unsteady.get(unsteady.open_collection("docs"), Read())] == [
        f"{at:05}" for at in range(1, 6)
    ]


def test_closing_gives_the_secondary_what_the_journal_holds(mirrored: Mirrors, fill: Fill, tmp_path: Path) -> None:
    """A program that writes and ends leaves nothing to do, if the secondary is there."""
    path = f"chroma:{tmp_path / 'store'}"
    mirror = mirrored(MemoryBackend(), ChromaBackend(path))
    fill(mirror, numbers=range(700))
    mirror.close()
    mirror.close()
    with pytest.raises(BackendError, match="closed"):
        mirror.list_collections()
    with pytest.raises(BackendError, match="closed"):
        mirror.report()
    with VectorStore(ChromaBackend(path)) as store:
        assert store.get_collection("docs").count() == 700


def test_a_journal_belongs_to_one_mirror(mirrored: Mirrors, tmp_path: Path) -> None:
    """9.5 A second one is refused, in this process or another; a closed one gives it back."""
    mirror = mirrored(MemoryBackend(), MemoryBackend())
    with pytest.raises(BackendUnavailableError, match="in use by another mirror"):
        MirrorBackend(MemoryBackend(), MemoryBackend(), journal=tmp_path / "journal")
    child = os.fork()
    if not child:
        code = 1
        try:
            MirrorBackend(MemoryBackend(), MemoryBackend(), journal=tmp_path / "journal")
        except BackendUnavailableError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    mirror.close()
    mirrored(MemoryBackend(), MemoryBackend())


def test_a_forked_child_opens_its_own(mirrored: Mirrors, fill: Fill) -> None:
    """9.3 The parent's is refused there, closing it does no harm, and the parent's goes on."""
    mirror = mirrored(MemoryBackend(), MemoryBackend())
    fill(mirror)
    child = os.fork()
    if not child:
        code = 1
        try:
            mirror.list_collections()
        except BackendError as error:
            mirror.close()
            code = 0 if "forked" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    fill(mirror, numbers=range(10))
    mirror.flush()
    assert mirror.secondary.count(mirror.secondary.open_collection("docs")) == 10


def test_a_journal_that_cannot_be_written_is_an_error_before_anything_is(
    mirrored: Mirrors, fill: Fill, tmp_path: Path
) -> None:
    """8.1 A write that could not be made up for does not take place."""
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    for path in (tmp_path / "other.sqlite", tmp_path, tmp_path / "other.sqlite" / "journal"):
        with pytest.raises(BackendError, match="give another path"):
            MirrorBackend(MemoryBackend(), MemoryBackend(), journal=path)
    primary = MemoryBackend()
    mirror = mirrored(primary, MemoryBackend())
    fill(mirror)
    mirror.flush()
    with sqlite3.connect(tmp_path / "journal") as breaking:
        breaking.execute("ALTER TABLE entries RENAME TO elsewhere")
    breaking.close()
    with pytest.raises(BackendError, match="see that it can be written"):
        fill(mirror, numbers=[7])
    assert primary.count(primary.open_collection("docs")) == 3


def test_a_full_disk_refuses_writes_and_loses_nothing(
    mirrored: Mirrors, fill: Fill, contents: Contents, unsteady: Any
) -> None:
    """8.1 The journal cannot grow: each write is refused before the primary has it, until there is room again."""
    primary = MemoryBackend()
    mirror = mirrored(primary, unsteady)
    fill(mirror)
    mirror.flush()
    unsteady.away.set()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        refused: list[str] = []
        for number in range(3, 200):
            try:
                fill(mirror, numbers=[number])
            except BackendError as error:
                refused.append(str(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < len(refused) < 197
    assert all("the disk is not full" in message for message in refused)
    assert primary.count(primary.open_collection("docs")) == 200 - len(refused)
    fill(mirror, numbers=[999])
    unsteady.away.clear()
    mirror.flush()
    assert contents(unsteady) == contents(primary)
    assert mirror.report().journal == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"primary": VectorStore(MemoryBackend())}, "attribute backend"),
        ({"secondary": "memory:"}, "must be a VectorBackend, got str"),
        ({"sample": 1.5}, "from 0 to 1"),
        ({"sample": "all"}, "from 0 to 1"),
        ({"journal": None}, "path of a file"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    """8.2 And the journal is not made."""
    given: dict[str, Any] = {"primary": MemoryBackend(), "secondary": MemoryBackend(), "journal": tmp_path / "journal"}
    given |= arguments
    with pytest.raises(InvalidArgumentError, match=message):
        MirrorBackend(**given)
    assert list(tmp_path.iterdir()) == []


def test_one_store_is_no_mirror_of_itself(tmp_path: Path) -> None:
    store = MemoryBackend()
    with pytest.raises(InvalidArgumentError, match="one store"):
        MirrorBackend(store, store, journal=tmp_path / "journal")


def test_a_mirror_out_of_scope_gives_its_journal_up(tmp_path: Path) -> None:
    """9.3 As when the cell of a notebook is run again; its stores, which others may use, stay open."""
    journal, primary, secondary = tmp_path / "journal", MemoryBackend(), MemoryBackend()

    def cell() -> "tuple[weakref.ref[object], set[threading.Thread]]":
        before = set(threading.enumerate())
        store = VectorStore(MirrorBackend(primary, secondary, journal=journal))
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
        return weakref.ref(store.backend), set(threading.enumerate()) - before

    mirror, threads = cell()
    gc.collect()
    assert mirror() is None
    assert threads
    for thread in {*threads, *(each for each in threading.enumerate() if each.name == "vectorkit-release")}:
        thread.join(20)
        assert not thread.is_alive()
    with VectorStore(MirrorBackend(primary, secondary, journal=journal)) as store:  # its lock is free
        assert store.get_collection("docs").count() == 1
        assert VectorStore(secondary).get_collection("docs").count() == 1
