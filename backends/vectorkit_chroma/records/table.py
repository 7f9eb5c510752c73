"""One collection's rows: reads that heal a lost index, the write lock, and the number of records where it is known."""

import threading
import time
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, starmap
from struct import Struct
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from vectorkit.errors import BackendError, CollectionNotFoundError
from vectorkit.filters import Contains, Filter, evaluate, walk
from vectorkit.types import CollectionInfo, FloatArray
from vectorkit_chroma._errors import is_index_lost, is_too_large, mapped
from vectorkit_chroma.connections.client import Connection, RawCollection
from vectorkit_chroma.records.codec import SIGNATURE, Row, Signature, decode, read_signature
from vectorkit_chroma.records.filters import MAX_SIGNATURES, plan
from vectorkit_chroma.records.record_count import Counted
from vectorkit_chroma.records.rows import EVERYTHING, Found, Selection, Stored, chunks
from vectorkit_chroma.records.stamps import Stamps

__all__ = ["PAGE", "Table", "gone"]

PAGE: Final = 2000
"""Ids named in one read: pages of 1,000 to 2,000 read fastest, and filters share SQLite's 32,766 variables."""

_PART: Final = 1000
_PART_NUMBERS: Final = 100_000
"""Records of one read of a stream at the most, and numbers of their vectors: of more, each takes longer to read.

Chroma gives vectors as lists of numbers, which Python's garbage collector goes through while there are many of them.
"""

_RECENT: Final = 0.1
"""Seconds for which a count of records that others may change is taken to hold."""

_ATTEMPTS: Final = 6
_NO_RECORD: Final = "\0"
"""An id that no record can have (rule 2.6); deleting it makes Chroma load a lost index again from its log."""

_NOTHING: Final = {SIGNATURE: ""}
"""A filter that no record matches."""

_COLUMNS: Final = ("ids", "documents", "metadatas", "embeddings", "distances")
_RECORDS: Final = ["documents", "metadatas"]
_RECORDS_WITH_VECTORS: Final = [*_RECORDS, "embeddings"]

T = TypeVar("T")


class Table:
    """One collection of Chroma, by its UUID.

    Args:
        connection: The client.
        raw: chromadb's collection.
        info: Ours.
    """

    def __init__(self, connection: Connection, raw: RawCollection, info: CollectionInfo) -> None:
        self.connection = connection
        self.raw = raw
        self.info = info
        self.write_lock = threading.RLock()
        self.stamps = Stamps(exclusive=connection.exclusive)
        self.writes = 0  # changes with every write of this process, after it
        # Stores that reach one collection through several clients share what they know.
        self._resizing = False
        self._counted = Counted() if connection.exclusive else Counted.shared(info.generation)
        self._place = f"collection {info.name!r} of {connection.place}"
        self._signatures: dict[str, Signature] = {}
        self._made: dict[Callable[[Table], Any], Any] = {}

    # --- calls ------------------------------------------------------------------------------------------------

    def call(self, doing: str, method: Callable[..., T], **arguments: Any) -> T:
        """Call the client, its errors mapped."""
        with mapped(doing, self._place):
            return method(**arguments)

    def _fetch(self, method: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
        """Call the client for a read; in halves where a gateway refuses the request for its size."""
        try:
            return self.call("reading", method, **arguments)
        except BackendError as error:
            name = "ids" if method == self.raw.get else "query_embeddings"
            values = arguments.get(name, ())
            if len(values) < 2 or not is_too_large(error):
                raise
        middle = len(values) // 2
        one, other = (self._fetch(method, **{**arguments, name: half}) for half in (values[:middle], values[middle:]))
        return {key: value if value is None else [*value, *other[key]] for key, value in one.items() if key in _COLUMNS}

    def _read(self, method: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
        """Call the client for a read, loading a lost index again."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._fetch(method, **arguments)
            except BackendError as error:
                if attempt == _ATTEMPTS - 1 or not is_index_lost(error):
                    raise
                if arguments.get("ids") and method == self.raw.query:  # one of them may be gone: an error to Chroma
                    present = set(self.present(arguments["ids"]))
                    arguments["ids"] = [id for id in arguments["ids"] if id in present]
                    if not arguments["ids"]:
                        del arguments["ids"]
                        arguments["where"] = _NOTHING
                time.sleep(0.005 * attempt)
                self.heal()
        raise AssertionError("unreachable")

    def heal(self) -> None:
        """Make Chroma load the index again if it lost it: a write does that."""
        with self.write_lock:
            self.call("loading the index of", self.raw.delete, ids=[_NO_RECORD])

    # --- how many ---------------------------------------------------------------------------------------------

    def size(self) -> int:
        """The number of records.

        Known without asking if nobody but this process can write, as every write then passes through `resized`; not
        when it is 0, so that a dropped collection is noticed.
        """
        if self.connection.exclusive and (known := self._counted.records):
            return known
        # While another thread writes, what is counted here may be old by the time it would be kept.
        if not self.write_lock.acquire(blocking=False):
            return self.call("counting", self.raw.count)
        try:
            counted = self.call("counting", self.raw.count)
            if not self._resizing:
                self._counted.records, self._counted.when = counted, time.monotonic()
            return counted
        finally:
            self.write_lock.release()

    def last_count(self) -> tuple[int | None, bool]:
        """The number of records when last counted, if it was, and whether that was so lately that it may be used.

        This process's writes are seen at once; of those of others the contract promises no instant (3.8).
        """
        return self._counted.records, time.monotonic() - self._counted.when < _RECENT

    @contextmanager
    def resized(self) -> Generator[Callable[[int], None]]:
        """Hold the write lock; the number of records is unknown while writing, then changed by the sum reported."""
        with self.write_lock:
            before = self.size()
            self._resizing = True  # and so it stays after an error or an interrupt, until a write has ended well
            self._counted.records = None
            self.writes += 1
            change = 0

            def report(more: int) -> None:
                nonlocal change
                change += more

            try:
                yield report
                if self.connection.exclusive:
                    self._counted.records = before + change
                self._resizing = False
            finally:
                self.writes += 1

    def once(self, make: Callable[["Table"], T]) -> T:
        """What `make` makes of this table: made when first asked for, then shared by all who use the table."""
        with self.connection.lock:
            if make not in self._made:
                self._made[make] = make(self)
            made: T = self._made[make]
            return made

    # --- reading ----------------------------------------------------------------------------------------------

    def present(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are stored."""
        return [id for page in chunks(ids, PAGE) for id in self._fetch(self.raw.get, ids=list(page), include=[])["ids"]]

    def everything(self, where: dict[str, Any] | None) -> list[tuple[str, Row, str | None]]:
        """Ids, rows and texts of all records that match, as of one moment, which pages would not be."""
        given = {} if where is None else {"where": where}
        result = self._read(self.raw.get, include=["documents", "metadatas"], **given)
        found = zip(result["ids"], result["metadatas"] or (), result["documents"] or (), strict=True)
        return [(id, row, text) for id, row, text in found if row]

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of those of the ids that are stored."""
        found: dict[str, Row] = {}
        for page in chunks(ids, PAGE):
            result = self._read(self.raw.get, ids=list(page), include=["metadatas"])
            found.update((id, row) for id, row in zip(result["ids"], result["metadatas"], strict=True) if row)
        return found

    def read(self, ids: Sequence[str], *, embeddings: bool) -> dict[str, Stored]:
        """The records of those of the ids that are stored."""
        found: dict[str, Stored] = {}
        for part in self._parts(ids, _RECORDS_WITH_VECTORS if embeddings else _RECORDS, lambda _, result: result):
            found.update(_stored(part))
        return found

    def stream(self, ids: Sequence[str], make: Callable[[str, Stored], T], *, embeddings: bool) -> Iterator[T]:
        """What `make` makes of the records of those of the ids that are stored, in that order, some of them ahead."""

        def made(part: Sequence[str], result: dict[str, Any]) -> list[T]:
            found = _stored(result)
            return [make(id, found[id]) for id in part if id in found]

        parts = self._parts(ids, _RECORDS_WITH_VECTORS if embeddings else _RECORDS, made)
        return chain.from_iterable(parts)

    def vectors(self, ids: Sequence[str]) -> tuple[list[str], FloatArray]:
        """The vectors of those of the ids that are stored, and these ids."""
        names: list[str] = []
        parts: list[FloatArray] = [np.empty((0, self.info.dimension), dtype=np.float32)]
        for result in self._parts(ids, ["embeddings"], lambda _, result: result):
            names.extend(result["ids"])
            parts.append(result["embeddings"])
        return names, np.concatenate(parts)

    def _parts(
        self, ids: Sequence[str], include: list[str], make: Callable[[Sequence[str], dict[str, Any]], T]
    ) -> Iterator[T]:
        """What is made of what Chroma has of these ids, part by part; while one is worked on, threads read others."""
        size = max(1, min(_PART, _PART_NUMBERS // self.info.dimension)) if "embeddings" in include else _PART
        parts = list(chunks(ids, size))

        def made(part: Sequence[str], read: Callable[..., dict[str, Any]]) -> T:
            result = read(ids=list(part), include=include)
            if result["embeddings"] is not None:  # an array, so that the lists of numbers are gone at once
                result["embeddings"] = _vectors(result["embeddings"], self.info.dimension)
            return make(part, result)

        read, read_healing = partial(self._fetch, self.raw.get), partial(self._read, self.raw.get)
        if len(parts) == 1:  # handing it to a thread would take longer than a small read
            yield made(parts[0], read_healing)
            return
        for part, reading in zip(parts, self.connection.ahead(lambda part: made(part, read), parts), strict=True):
            try:
                yield reading()
            except BackendError as error:
                if not is_index_lost(error):
                    raise
                # This thread reads it, as it may hold the lock that healing takes.
                yield made(part, read_healing)

    def query(
        self,
        queries: FloatArray,
        count: int,
        selection: Selection,
        *,
        records: bool = False,
        embeddings: bool = False,
    ) -> list[Found]:
        """Ask the index for the `count` nearest of each query."""
        include = ["distances"]
        if records:
            include += ["documents", "metadatas"]
        if embeddings:
            include.append("embeddings")
        arguments: dict[str, Any] = {"query_embeddings": queries, "n_results": count, "include": include}
        if selection.where is not None:
            arguments["where"] = selection.where
        if selection.ids is not None:
            arguments["ids"] = selection.ids
        result = self._read(self.raw.query, **arguments)
        return [self._found(result, query, records, embeddings) for query in range(len(queries))]

    def _found(self, result: dict[str, Any], query: int, records: bool, embeddings: bool) -> Found:
        ids: list[str] = result["ids"][query]
        # Over HTTP a distance is the shortest decimal of a float32; through float32 it is the same number everywhere.
        distances = array("f", result["distances"][query]).tolist()
        if not records:
            return Found(ids, distances, [])
        vectors = _vectors(result["embeddings"][query], self.info.dimension) if embeddings else [None] * len(ids)
        return Found(ids, distances, list(map(Stored, result["metadatas"][query], result["documents"][query], vectors)))

    # --- filters ----------------------------------------------------------------------------------------------

    def select(self, tree: Filter | None) -> Selection:
        """The records that match, as Chroma can be asked for them, or as ids found by reading and evaluating."""
        if tree is None:
            return EVERYTHING
        answer = plan(tree, self.signatures)
        if answer.where is False:
            return Selection(None, [])
        where = None if answer.where is True else answer.where
        if answer.exact:
            return Selection(where)
        return Selection(None, self._evaluated(self._asked(where), tree))

    def ids(self, selection: Selection, *, within: Sequence[str] | None = None, limit: int | None = None) -> list[str]:
        """The matching ids, in no order.

        Args:
            selection: The filter.
            within: Only these.
            limit: How many at the most.
        """
        if selection.ids is not None:
            allowed = None if within is None else set(within)
            return [id for id in selection.ids if allowed is None or id in allowed][:limit]
        if within is None:
            return self._asked(selection.where, limit)
        return [id for page in chunks(within, PAGE) for id in self._asked(selection.where, limit, list(page))][:limit]

    def _asked(self, where: dict[str, Any] | None, limit: int | None = None, ids: list[str] | None = None) -> list[str]:
        given = {"where": where, "limit": limit, "ids": ids}
        given = {name: value for name, value in given.items() if value is not None}
        found: list[str] = self._read(self.raw.get, include=[], **given)["ids"]
        return found

    def _evaluated(self, ids: Sequence[str], tree: Filter) -> list[str]:
        test = evaluate(tree)
        # Documents are read only if the filter asks for them.
        include = ["metadatas", "documents"] if _asks_documents(tree) else ["metadatas"]
        found: list[str] = []
        for page in chunks(ids, PAGE):
            result = self._read(self.raw.get, ids=list(page), include=include)
            documents = result["documents"] or [None] * len(result["ids"])
            for id, row, document in zip(result["ids"], result["metadatas"] or (), documents, strict=True):
                if row and test(*decode(row, document)):
                    found.append(id)
        return found

    def signatures(self) -> list[Signature] | None:
        """All signatures that occur, or None if they are too many.

        What a signature says never changes, so those seen are kept; each time, the records of any other are asked for.
        """
        known = self._signatures
        while len(known) <= MAX_SIGNATURES:
            arguments: dict[str, Any] = {"where": {SIGNATURE: {"$nin": list(known)}}} if known else {}
            # A signature is mostly shared: few rows show the first ones, and if they go on being new, ask for more.
            result = self._read(self.raw.get, limit=16 + 8 * len(known), include=["metadatas"], **arguments)
            new = {row[SIGNATURE] for row in result["metadatas"] or () if row}
            if not new:
                return list(known.values())
            known = self._signatures = {**known, **{text: read_signature(text) for text in new}}
        return None


def gone(info: CollectionInfo) -> CollectionNotFoundError:
    """The error for a handle whose collection is no more (rule 1.6)."""
    return CollectionNotFoundError(f"collection {info.name!r} was dropped since it was opened; open or create it again")


def _asks_documents(tree: Filter) -> bool:
    return any(isinstance(node, Contains) for node in walk(tree))


def _stored(result: dict[str, Any]) -> dict[str, Stored]:
    ids: list[str] = result["ids"]
    rows = [None] * len(ids) if result["embeddings"] is None else result["embeddings"]
    records = map(Stored, result["metadatas"] or (), result["documents"] or (), rows)
    return {id: record for id, record in zip(ids, records, strict=True) if record.row}


def _vectors(values: list[list[float]] | NDArray[Any], dimension: int) -> FloatArray:
    if isinstance(values, list):  # NumPy takes three times as long to convert them
        packed = bytearray().join(starmap(Struct(f"{dimension}f").pack, values))
        return np.frombuffer(packed, dtype=np.float32).reshape(-1, dimension)
    return np.asarray(values, dtype=np.float32).reshape(-1, dimension)
