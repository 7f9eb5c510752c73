"""Exceptions raised at every place of every public call, and what must hold of the store afterwards."""

import gc
import linecache
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pytest

import vectorkit
import vectorkit_chroma
import vectorkit_pgvector
from vectorkit import Collection, IVFFlat, MemoryBackend, Record, VectorStore, copy
from vectorkit.backend.requests import Scan
from vectorkit.embedders import HashEmbedder

State: TypeAlias = dict[str, tuple[object, ...]]
Call: TypeAlias = Callable[["World"], object]

EVERY: Final = bool(os.environ.get("VECTORKIT_EVERY_INTERRUPT"))
"""Whether each call is interrupted at every place it passes; else at one place in some, others in each call."""

BATCHWISE: Final = {"ingest", "copy"}
"""Calls that write in several steps, each of them whole."""

_OURS: Final = tuple(
    f"{Path(each.__file__ or '').parent}{os.sep}" for each in (vectorkit, vectorkit_chroma, vectorkit_pgvector)
)
_NOT_OURS: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("psycopg", "psycopg_pool"))
_CALLED: Final = ("contextlib.py", "threading.py")

EMBEDDER: Final = HashEmbedder(8)
WORDS: Final = ("red", "blue", "green", "black", "white")


class Place(NamedTuple):
    """A line, or the begin of a function, at which an exception can come."""

    file: str
    line: int
    event: str

    def __str__(self) -> str:
        return f"{self.event} {Path(self.file).parent.name}/{Path(self.file).name}:{self.line}"


class Interrupter:
    """Traces this thread: notes the places it passes, or raises at the first arrival at one of them.

    Places are the lines of our own modules and the begins of their functions; of psycopg's, and of what our modules
    call in `contextlib` and `threading`, the begins of functions alone.
    """

    def __init__(self, at: Place | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.passed: dict[Place, None] = {}
        self.raised = False
        self._at = at
        self._error = error
        self._kinds: dict[CodeType, int] = {}

    def __enter__(self) -> "Interrupter":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _kind(self, frame: FrameType) -> int:
        code = frame.f_code
        kind = self._kinds.get(code)
        if kind is None:
            name = code.co_filename
            kind = 2 if name.startswith(_OURS) else 1 if any(each in name for each in _NOT_OURS) else 0
            self._kinds[code] = kind
        if not kind and frame.f_back is not None and code.co_filename.endswith(_CALLED):
            return 1 if frame.f_back.f_code.co_filename.startswith(_OURS) else 0
        return kind

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        kind = self._kind(frame)
        if not kind:
            return None
        self._arrive(Place(frame.f_code.co_filename, frame.f_lineno, "call"))
        return self._line if kind == 2 else None

    def _line(self, frame: FrameType, event: str, _: object) -> Any:
        # No interrupt comes at a bare `try:`, which does nothing; raised there, it would not even leave a `with`.
        if event == "line" and linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() != "try:":
            self._arrive(Place(frame.f_code.co_filename, frame.f_lineno, "line"))
        return self._line

    def _arrive(self, place: Place) -> None:
        if self._at is None:
            self.passed[place] = None
        elif place == self._at and not self.raised:
            self.raised = True
            sys.settrace(None)
            raise self._error


@dataclass
class World:
    """A store with a collection whose records are known, and what else must hold of it.

    Attributes:
        store: The store.
        atomic: Whether a call of the store is all or nothing.
        sound: Raises if something besides the collection is not as it should be.
        reopen: Returns a new store in place of one whose connection an interrupt has ended; None if it lives.
    """

    store: VectorStore
    atomic: bool = True
    sound: Callable[[], None] = lambda: None
    reopen: Callable[[], VectorStore | None] = lambda: None
    docs: Collection = field(init=False)

    def __post_init__(self) -> None:
        self.docs = self.store.create_collection("docs", embedder=EMBEDDER, text_index=True, language="none")
        self.restore()

    def revive(self) -> bool:
        """Open the store anew if an interrupt has ended the caller's connection; whether it had to be."""
        store = self.reopen()
        if store is None:
            return False
        self.store = store
        self.docs = store.get_collection("docs", embedder=EMBEDDER)
        return True

    def restore(self) -> None:
        """Make everything what it was in the beginning; by the handle that there is, if its collection is there."""
        names = {info.name for info in self.store.backend.list_collections()}
        for name in names - {"docs"}:
            self.store.drop_collection(name)
        if "docs" in names:
            docs = self.store.get_collection("docs", embedder=EMBEDDER)
            if docs.info().generation != self.docs.info().generation:
                self.docs = docs
        else:
            self.docs = self.store.create_collection("docs", embedder=EMBEDDER, text_index=True, language="none")
        wanted = {record.id: record for record in original()}
        if state(self.docs) != {id: row(record) for id, record in wanted.items()}:
            stale = [record.id for record in self.docs.scan()]
            self.docs.delete(ids=stale)
            self.docs.upsert(records=list(wanted.values()))


def original() -> list[Record]:
    """The records that a call finds."""
    return [made(number, f"{WORDS[number % 5]} {WORDS[number * 3 % 5]} n{number}") for number in range(6)]


def made(number: int, text: str) -> Record:
    embedding = EMBEDDER.embed_documents([text])[0]
    return Record(f"id{number}", text, embedding, {"number": number, "even": number % 2 == 0})


def row(record: Record) -> tuple[object, ...]:
    vector = np.asarray(record.embedding, np.float32)
    return record.document, repr(sorted(record.metadata.items())), vector.round(5).tobytes()


def state(docs: Collection) -> State:
    """What a collection holds, by id."""
    return {record.id: row(record) for record in docs.scan(include_embeddings=True)}


def everything(store: VectorStore) -> dict[str, State]:
    """What every collection of a store holds, by name, apart from what calls keep beside them until they are done."""
    return {
        info.name: {
            record.id: row(record)
            for page in store.backend.scan(info, Scan(include_embeddings=True))
            for record in page
        }
        for info in store.backend.list_collections()
        if not info.name.startswith(("reembed-", "copying-"))
    }


def check(world: World, before: Mapping[str, State], after: Mapping[str, State], *, whole: bool) -> None:
    """Hold a store to the contract after a call of it was interrupted; `whole`: the call is all or nothing."""
    found = everything(world.store)
    now, old, new = found.get("docs"), before["docs"], after["docs"]
    assert now is not None, "the collection is gone"
    if whole:
        assert now in (old, new), "half-written"
    for id in now.keys() | old.keys() | new.keys():
        assert now.get(id) in (old.get(id), new.get(id)), f"{id} was never so"
    for info in world.store.list_collections():
        if info.name not in found:
            continue
        agree(world.store.get_collection(info.name))
    docs = world.docs
    extra = made(77, "black white extra")
    docs.upsert(records=[extra])
    assert [row(record) for record in docs.get([extra.id], include_embeddings=True)] == [row(extra)]
    agree(docs)
    assert docs.delete(ids=[extra.id]) == 1
    assert docs.get([extra.id]) == []
    world.sound()


def agree(docs: Collection) -> None:
    """Compare what all ways of reading a collection say with a new store that holds what a scan of it gives."""
    records = list(docs.scan(include_embeddings=True))
    oracle = VectorStore(MemoryBackend()).create_collection(
        "docs", dimension=docs.info().dimension, text_index=True, language="none"
    )
    oracle.add(records=records)
    assert docs.count() == len(records)
    assert docs.count({"even": True}) == oracle.count({"even": True})
    ids = [record.id for record in reversed(records)]
    assert [record.id for record in docs.get(ids)] == ids
    query = np.resize(EMBEDDER.embed_query("red blue green black white"), docs.info().dimension)
    same(docs.search(query, 9), oracle.search(query, 9))
    if docs.info().spec.text_index:
        same(docs.search("red white extra n3", 9, mode="text"), oracle.search("red white extra n3", 9, mode="text"))


def same(found: Iterable[Any], wanted: Iterable[Any]) -> None:
    def rounded(hits: Iterable[Any]) -> list[tuple[str, float, str | None]]:
        return sorted((hit.id, round(hit.score, 4), hit.document) for hit in hits)

    assert rounded(found) == rounded(wanted)


# --- the calls ----------------------------------------------------------------------------------------------------


def changed() -> list[Record]:
    """Records of which some are stored, and some are not."""
    return [made(number, f"{WORDS[number % 5]} changed") for number in (2, 4, 7, 8)]


def fresh() -> list[Record]:
    return [made(number, f"{WORDS[number % 5]} fresh") for number in (7, 8, 9)]


def _columns(records: list[Record]) -> dict[str, Any]:
    return {
        "ids": [record.id for record in records],
        "documents": [record.document for record in records],
        "metadatas": [record.metadata for record in records],
    }


def _collections(world: World) -> None:
    store = world.store
    made = store.create_collection("other", dimension=3, text_index=True, language="none")
    made.add(ids=["a"], embeddings=[[1, 2, 3]], documents=["red"])
    store.get_or_create_collection("other", dimension=3)
    store.list_collections()
    store.drop_collection("other")


def _text_index_later(world: World) -> None:
    bare = world.store.create_collection("bare", dimension=3, language="none")
    bare.add(ids=["a", "b"], embeddings=[[1, 2, 3], [3, 2, 1]], documents=["red blue", "blue"])
    bare.create_text_index(progress=lambda done, total: None)
    assert [hit.id for hit in bare.search("red", mode="text")] == ["a"]


def _reembed(world: World) -> None:
    other = world.store.create_collection("other", embedder=EMBEDDER, text_index=True, language="none")
    other.add(ids=["a", "b", "c"], documents=["red", "red blue", "white"])
    done = other.reembed(HashEmbedder(16), batch_size=2)
    assert (done.info().dimension, done.count()) == (16, 3)
    assert [info.name for info in world.store.list_collections()] == ["docs", "other"]


def _copy(world: World) -> None:
    copy(world.store, world.store, collections=["docs"], names={"docs": "other"})
    assert world.store.get_collection("other").count() == world.docs.count()


def _indexes(world: World) -> None:
    if not world.store.backend.capabilities.index_changes:
        return
    other = world.store.create_collection("other", dimension=3)
    other.add(ids=[f"{n}" for n in range(60)], embeddings=[[1, n, 3] for n in range(60)])
    other.create_index(IVFFlat(lists=1))
    other.reindex()
    assert len(other.search([1, 2, 3], 5, exact=False)) == 5
    other.drop_index()


CALLS: Final[dict[str, Call]] = {
    "add": lambda world: world.docs.add(**_columns(fresh())),
    "add a stream": lambda world: world.docs.add(records=iter(fresh())),
    "upsert": lambda world: world.docs.upsert(**_columns(changed())),
    "upsert a stream": lambda world: world.docs.upsert(records=iter(changed())),
    "update": lambda world: world.docs.update(
        ids=["id1", "id3"], documents=["white updated", None], metadatas=[{"number": 1}, {"a": [1]}]
    ),
    "merge": lambda world: world.docs.update(ids=["id1", "id5"], metadatas=[{"a": 1}, {"b": 2}], merge=True),
    "delete": lambda world: world.docs.delete(ids=["id1", "id2"]),
    "delete by filter": lambda world: world.docs.delete(where={"even": True}),
    "ingest": lambda world: world.docs.ingest(
        [Record(each.id, each.document, None, each.metadata) for each in changed()], batch_size=2
    ),
    "get": lambda world: world.docs.get(["id1", "id4"], where={"even": True}, include_embeddings=True),
    "scan": lambda world: list(world.docs.scan({"even": True}, batch_size=2)),
    "count": lambda world: world.docs.count({"number": {"$gte": 2}}),
    "search": lambda world: world.docs.search("red blue", 3, where={"number": {"$gte": 1}}),
    "search the words": lambda world: world.docs.search("red white", 3, mode="text", where={"even": True}),
    "search hybrid": lambda world: world.docs.search("red white", 3, mode="hybrid"),
    "search many": lambda world: world.docs.search_many(["red", "blue green", "white"], 3),
    "search very many": lambda world: world.docs.search_many([f"red {n}" for n in range(24)], 3),
    "collections": _collections,
    "a text index later": _text_index_later,
    "reembed": _reembed,
    "copy": _copy,
    "indexes": _indexes,
}


@dataclass
class Tally:
    """How often each call was interrupted, and what was wrong afterwards."""

    places: dict[str, int] = field(default_factory=dict[str, int])
    wrong: list[str] = field(default_factory=list[str])
    ended: int = 0


@contextmanager
def collected() -> Generator[None]:
    """Collect what an interrupted call leaves, here and not in a later test.

    An interrupt between the opening of a file and the `with` that closes it leaves the file to the collector, which
    closes it and warns. No program can prevent that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def interrupted() -> Callable[..., Iterator[Place]]:
    """Interrupts a call at places that it passes in some files, all or a share, and yields each place afterwards."""

    def run(call: Callable[[], object], *, share: int, within: tuple[str, ...]) -> Iterator[Place]:
        with Interrupter() as tracer:
            call()
        places = [each for each in tracer.passed if any(part in each.file for part in within)]
        for place in places[:: 1 if EVERY else share]:
            with collected(), Interrupter(place) as tracer, suppress(KeyboardInterrupt):
                call()
            if tracer.raised:
                yield place

    return run


@pytest.fixture
def interrupt() -> Callable[..., None]:
    """Interrupts calls of a store, at every place they pass or at some, and checks the store after each time."""

    def run(
        store: VectorStore,
        *,
        share: int,
        within: str = "",
        atomic: bool = True,
        sound: Callable[[], None] = lambda: None,
        reopen: Callable[[], VectorStore | None] = lambda: None,
    ) -> None:
        world, tally = World(store, atomic, sound, reopen), Tally()
        for number, (name, call) in enumerate(CALLS.items()):
            world.restore()
            before = everything(world.store)
            call(world)  # what happens the first time only, such as imports, is not looked at
            after = everything(world.store)
            world.restore()
            with Interrupter() as tracer:
                call(world)
            places = sorted(each for each in tracer.passed if within in each.file or not each.file.startswith(_OURS))
            if not EVERY:
                places = places[number % share :: share]
            for at, place in enumerate(places):
                world.restore()
                error = MemoryError if at % 4 == 3 else KeyboardInterrupt
                said = f"{name}: {error.__name__} at {place}"
                outcome = "went on"
                with collected(), Interrupter(place, error) as tracer:
                    try:
                        call(world)
                    except BaseException as raised:
                        outcome = f"raised {type(raised).__name__}: {raised}"
                        if error is KeyboardInterrupt and tracer.raised and not isinstance(raised, KeyboardInterrupt):
                            tally.wrong.append(f"{said}: {outcome}")
                if not tracer.raised:
                    continue
                tally.places[name] = tally.places.get(name, 0) + 1
                try:
                    tally.ended += world.revive()
                    check(world, before, after, whole=world.atomic and name not in BATCHWISE)
                except Exception as wrong:
                    tally.wrong.append(f"{said}: {outcome}, then {type(wrong).__name__}: {wrong}"[:600])
        print(sum(tally.places.values()), "interrupts:", tally.places, "connections ended:", tally.ended)
        assert not tally.wrong, "\n".join(tally.wrong)
        # A call takes another way at times, past the one place of a thin sample.
        assert len(tally.places) > len(CALLS) - 4

    return run
