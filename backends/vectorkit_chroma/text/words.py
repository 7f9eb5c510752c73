"""The words of a collection's documents, kept in this process and brought up to date by each search.

Chroma does not rank by words. The first search reads all documents; each one after that asks for the rows that were
written since, by whatever process (see `records.stamps`), and whether records are gone.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vectorkit.postings import Postings
from vectorkit_chroma.records.codec import SIGNATURE, read_signature
from vectorkit_chroma.records.rows import EVERYTHING
from vectorkit_chroma.records.stamps import newer, ticks
from vectorkit_chroma.records.table import Table

__all__ = ["Texts"]

_ANALYSED: Final = 500
"""Documents between two reports of progress."""


class Texts:
    """The words of one collection's documents.

    Args:
        table: The collection.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._postings = Postings(self._table.info.spec.language)
        self._ids: set[str] = set()
        self._clock: dict[str, int] = {}
        self._writes: int | None = None

    def scores(self, queries: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        """The BM25 scores of all documents for each query, as of now."""
        with self._lock:
            self._catch_up(None)
            return [self._postings.scores(words) for words in queries]

    def load(self, progress: Callable[[int, int], None] | None) -> None:
        """Read what was written since the last time, or all."""
        with self._lock:
            self._catch_up(progress)

    def _catch_up(self, progress: Callable[[int, int], None] | None) -> None:
        writes = self._table.writes
        if self._table.connection.exclusive and writes == self._writes:
            return
        # Counted first: what is known after the next step holds every record that was there at this moment.
        count = self._table.size()
        where = newer(self._clock)
        if where is None:
            self._forget()
        found = self._table.everything(where)
        documents: dict[str, str | None] = {}
        clock = dict(self._clock)
        for id, row, text in found:
            documents[id] = (text or "") if read_signature(row[SIGNATURE]).has_document else None
            for writer, tick in ticks(row).items():
                clock[writer] = max(tick, clock.get(writer, 0))
        self._put(documents, progress)
        self._clock = clock
        if len(self._ids) > count:
            gone = self._ids.difference(self._table.ids(EVERYTHING))
            self._postings.remove(gone)
            self._ids -= gone
        self._writes = writes

    def _put(self, documents: Mapping[str, str | None], progress: Callable[[int, int], None] | None) -> None:
        ids = list(documents)
        try:
            for start in range(0, len(ids), _ANALYSED):
                if progress is not None:
                    progress(start, len(ids))
                part = ids[start : start + _ANALYSED]
                self._postings.put(self._postings.analysed({id: documents[id] for id in part}))
                self._ids.update(part)
            if progress is not None:
                progress(len(ids), len(ids))
        except BaseException:
            self._forget()
            raise
