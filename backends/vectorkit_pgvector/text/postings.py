"""The words of documents on their way into the tables of text search: counted, weighed and packed by NumPy."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from vectorkit.text import K1, Analyzer, penalty
from vectorkit_pgvector.sql.codec import number_fields, posting_row

__all__ = ["Postings"]


class Postings:
    """The words of documents, and what each weighs there.

    Args:
        analyzer: Makes words of texts.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._codes: defaultdict[str, int] = defaultdict(count().__next__)
        self._words = array("q")
        self._frequencies = array("q")
        self._numbers = array("q")
        self._lengths = array("q")
        self._penalties = array("d")

    def __len__(self) -> int:
        """The number of different words of each document, summed."""
        return len(self._words)

    def note(self, number: int, document: str) -> None:
        """Note the words of the document of this number."""
        words = self._analyzer.words(document)
        counts = Counter(words)
        self._words.extend(map(self._codes.__getitem__, counts))
        self._frequencies.extend(counts.values())
        self._numbers.append(number)
        self._lengths.append(len(counts))
        self._penalties.append(penalty(len(words)))

    def rows(self) -> Iterator[bytes]:
        """A row of COPY BINARY for each word, in the order of the words: word, count, numbers, weights."""
        names = sorted(self._codes)
        places = np.empty(len(names), dtype=np.int64)
        places[[self._codes[name] for name in names]] = np.arange(len(names))
        words = places[_array(self._words)]
        order = np.argsort(words, kind="stable")
        lengths = _array(self._lengths)
        numbers = np.repeat(_array(self._numbers), lengths)[order]
        frequencies = _array(self._frequencies).astype(np.float64)
        # As `vectorkit.text.saturation` has it.
        weights = frequencies * (K1 + 1.0) / (frequencies + np.repeat(np.asarray(self._penalties), lengths))
        ends = np.cumsum(np.bincount(words, minlength=len(names))).tolist()
        number_column, weight_column = number_fields(numbers), number_fields(weights[order])
        for name, (start, end) in zip(names, pairwise([0, *ends]), strict=True):
            yield posting_row(name, end - start, number_column[start:end], weight_column[start:end])


def _array(values: "array[int]") -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)
