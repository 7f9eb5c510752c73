"""`MemoryBackend`: everything in this process, exact. It is the reference the other backends are compared with."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final
from uuid import uuid4

from vectorkit._memory_rows import Row, Stored, candidates, hit_of, patched, record_of, rows_of, stacked
from vectorkit.backend.requests import HybridSearch, Read, Scan, TextSearch, VectorSearch
from vectorkit.errors import (
    BackendError,
    CollectionExistsError,
    CollectionNotFoundError,
    InvalidArgumentError,
)
from vectorkit.filters import Filter, evaluate
from vectorkit.postings import Postings, best
from vectorkit.protocol import VectorBackend
from vectorkit.ranking import rank
from vectorkit.types import (
    Batch,
    Candidate,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    Hit,
    Metadata,
    Patch,
    Ranking,
    Record,
)
from vectorkit.validation import already_stored, not_stored

__all__ = ["MemoryBackend"]

_PROGRESS: Final = 1000
"""Documents between two reports of progress."""


class MemoryBackend(VectorBackend):
    """Collections in the memory of this process, gone with it.

    Every search compares all records that match, in float64; `exact` makes no difference.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stored: dict[str, Stored] = {}
        self._closed = False

    @classmethod
    def from_url(cls, url: str) -> "MemoryBackend":
        """Open `memory:`; each call makes a store of its own.

        Raises:
            InvalidArgumentError: Something follows the colon.
        """
        if url != "memory:":
            raise InvalidArgumentError(f"the URL of a store in memory is 'memory:', not {url!r}")
        return cls()

    def __repr__(self) -> str:
        return "MemoryBackend()"

    @property
    def name(self) -> str:
        """`"memory"`."""
        return "memory"

    @property
    def capabilities(self) -> Capabilities:
        """All or nothing in every call, text search, no index of vectors, one process."""
        return Capabilities(
            atomic_writes=True,
            atomic_add=True,
            approximate_search=False,
            text_search=True,
            persistent=False,
            multi_process=False,
            replacing=True,
        )

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`."""
        text = Postings(spec.language) if spec.text_index else None
        with self._lock:
            if spec.name in self._open():
                raise CollectionExistsError(f"collection {spec.name!r} exists; open it with get_collection")
            info = CollectionInfo(spec, generation=str(uuid4()), location="in memory")
            self._stored[spec.name] = Stored(info, text)
            return info

    def open_collection(self, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`."""
        with self._lock:
            return self._named(name).info

    def list_collections(self) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        with self._lock:
            return [self._stored[name].info for name in sorted(self._open())]

    def drop_collection(self, name: str) -> None:
        """See `VectorBackend.drop_collection`."""
        with self._lock:
            self._named(name)
            del self._stored[name]

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.replace_collection`."""
        with self._lock:
            self._live(old)
            stored = self._live(new)
            moved = replace(stored, info=replace(stored.info, spec=replace(stored.info.spec, name=old.name)))
            kept = {name: each for name, each in self._stored.items() if name != new.name}
            self._stored = {**kept, old.name: moved}  # in one step: an interrupt may come between any two
            return moved.info

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.add`."""
        new = rows_of(batches)
        with self._lock:
            stored = self._live(collection)
            if taken := new.keys() & stored.rows.keys():
                raise already_stored(taken)
            stored.put(new)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.upsert`."""
        new = rows_of(batches)
        with self._lock:
            self._live(collection).put(new)

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """See `VectorBackend.update`."""
        with self._lock:
            stored = self._live(collection)
            ids = [id for patch in patches for id in patch.ids]
            if missing := [id for id in ids if id not in stored.rows]:
                raise not_stored(missing)
            stored.put(
                {id: patched(stored.rows[id], patch, index) for patch in patches for index, id in enumerate(patch.ids)}
            )

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        """See `VectorBackend.get`."""
        with self._lock:
            rows = self._rows(collection)
            stop = None if request.limit is None else request.offset + request.limit
            found = islice(self._matching(rows, request.ids, request.where), request.offset, stop)
            return [record_of(id, rows[id], request.include_embeddings) for id in found]

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        """See `VectorBackend.scan`."""
        with self._lock:
            matching = self._matching(self._rows(collection), None, request.where)
            ids = [id for id in matching if request.after is None or id > request.after]
        for start in range(0, len(ids), request.batch_size):
            page = ids[start : start + request.batch_size]
            yield self.get(collection, Read(page, request.where, include_embeddings=request.include_embeddings))

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """See `VectorBackend.count`."""
        with self._lock:
            return sum(1 for _ in self._matching(self._rows(collection), None, where))

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """See `VectorBackend.delete`."""
        with self._lock:
            stored = self._live(collection)
            found = list(self._matching(stored.rows, ids, where))
            stored.remove(found)
            return len(found)

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """See `VectorBackend.search`."""
        with self._lock:
            rows = self._rows_that_match(self._live(collection), request.where)
        ids, vectors = list(rows), stacked(rows.values(), collection.dimension)
        return [
            Ranking(
                [
                    hit_of(ids[row], rows[ids[row]], score, distance, request.include_embeddings)
                    for row, distance, score in rank(collection.metric, query, ids, vectors, request.k)
                ],
                exact=True,
            )
            for query in request.queries
        ]

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        """See `VectorBackend.create_text_index`."""
        with self._lock:
            stored = self._live(collection)
            if not stored.info.spec.text_index:
                text, documents = Postings(collection.spec.language), list(stored.documents().items())
                for start in range(0, len(documents), _PROGRESS):
                    if progress is not None:
                        progress(start, len(documents))
                    text.put(text.analysed(dict(documents[start : start + _PROGRESS])))
                if progress is not None:
                    progress(len(documents), len(documents))
                stored.text = text  # before it is said to be there: an interrupt may come between the two
                stored.info = replace(stored.info, spec=replace(stored.info.spec, text_index=True))
            return stored.info

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        """See `VectorBackend.search_text`."""
        with self._lock:
            stored = self._live(collection)
            rows = self._rows_that_match(stored, request.where)
            scores = [stored.text_scores(words, rows) for words in request.queries]
        return [
            [hit_of(id, rows[id], score, None, request.include_embeddings) for id, score in best(each, request.k)]
            for each in scores
        ]

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        """See `VectorBackend.search_hybrid`."""
        with self._lock:
            stored = self._live(collection)
            rows = self._rows_that_match(stored, request.where)
            scores = [stored.text_scores(words, rows) for words in request.queries]
        stack = stacked(rows.values(), collection.dimension)
        return [
            candidates(collection.metric, vector, rows, stack, texts, request.fetch_k, request.include_embeddings)
            for vector, texts in zip(request.vectors, scores, strict=True)
        ]

    def close(self) -> None:
        """See `VectorBackend.close`. The collections are gone."""
        with self._lock:
            self._closed = True
            self._stored.clear()

    def _open(self) -> dict[str, Stored]:
        if self._closed:
            raise BackendError("this store was closed; connect again")
        return self._stored

    def _named(self, name: str) -> Stored:
        if name not in self._open():
            raise CollectionNotFoundError(f"there is no collection {name!r}; create it with create_collection")
        return self._stored[name]

    def _live(self, collection: CollectionInfo) -> Stored:
        stored = self._open().get(collection.name)
        if stored is None or stored.info.generation != collection.generation:
            raise CollectionNotFoundError(
                f"collection {collection.name!r} was dropped since it was opened; open or create it again"
            )
        stored.settle()
        return stored

    def _rows(self, collection: CollectionInfo) -> dict[str, Row]:
        return self._live(collection).rows

    def _matching(self, rows: Mapping[str, Row], ids: Sequence[str] | None, where: Filter | None) -> Iterator[str]:
        """The ids that match: those of `ids` in their order, or all in ascending order."""
        names = sorted(rows) if ids is None else [id for id in ids if id in rows]
        if where is None:
            return iter(names)
        test = self._test(where)
        return (id for id in names if test(rows[id].document, rows[id].metadata))

    def _rows_that_match(self, stored: Stored, where: Filter | None) -> dict[str, Row]:
        """The records that match, in ascending order of id."""
        return {id: stored.rows[id] for id in self._matching(stored.rows, None, where)}

    def _test(self, where: Filter) -> Callable[[str | None, Metadata], bool]:
        """What a filter means; the faults of `vectorkit.testing` mean something else by it."""
        return evaluate(where)
