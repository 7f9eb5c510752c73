"""A sample of the records of a stream, to search with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vectorkit.transfer.verify.searches import NamedQuery
from vectorkit.types import Record
from vectorkit.validation import short

__all__ = ["Sample"]


class Sample:
    """So many records, drawn evenly from a stream of unknown length (Vitter, "Random sampling with a reservoir", 1985).

    Args:
        size: How many.
        seed: Of the generator.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.records: list[Record] = []
        self._size = size
        self._seen = 0
        self._random = np.random.default_rng(seed)

    def draw(self, records: Sequence[Record]) -> None:
        """See the next records of the stream."""
        if not self._size:
            return
        places = self._random.integers(0, np.arange(self._seen, self._seen + len(records)) + 1).tolist()
        for record, place in zip(records, places, strict=True):
            if len(self.records) < self._size:
                self.records.append(_alone(record))
            elif place < self._size:
                self.records[place] = _alone(record)
        self._seen += len(records)

    def queries(self) -> list[NamedQuery]:
        """Their vectors."""
        return [
            NamedQuery(np.asarray(record.embedding, dtype=np.float32), f"the vector of {short(record.id)}")
            for record in self.records
            if record.embedding is not None
        ]


def _alone(record: Record) -> Record:
    """The record with a vector of its own: it may be a row of an array that holds a whole batch."""
    return record if record.embedding is None else replace(record, embedding=np.array(record.embedding))
