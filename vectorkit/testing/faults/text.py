"""Stores whose text index finds, weighs or keeps words otherwise (rules 7.1 and 7.2)."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from vectorkit.backend.requests import Read, TextSearch
from vectorkit.filters import Filter, matches
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.text import analyzer, idf, penalty, saturation
from vectorkit.types import Batch, CollectionInfo, Hit, Record

__all__ = [
    "AveragesLengths",
    "CountsMissingDocuments",
    "DocumentsAreInEnglish",
    "DocumentsKeepTheirCase",
    "FindsOnlyAllWords",
    "IdfMayBeNegative",
    "IgnoresLengths",
    "IndexesFromNowOn",
    "IndexesNothingLater",
    "IndexesTheBeginning",
    "RemembersDeletedWords",
    "ReturnsWhatHoldsNoWord",
    "RoundsTextScores",
    "TextFiltersAfterTheCut",
    "TextTiesInOrderOfWriting",
    "WeighsByFrequencyAlone",
    "WeighsWhatMatches",
]


class FaultyText(FaultyBackend):
    """Computes BM25 anew for each search, until a subclass bends a part of it."""

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        everything = self._records(collection)
        found = [
            each for each in everything if request.where is None or matches(request.where, each.document, each.metadata)
        ]
        documents = {each.id: self._words(collection, each.document) for each in everything}
        counted = [documents[each.id] for each in self._counted(everything, found)]
        average = sum(each.total() for each in counted) / max(1, len(counted))
        return [
            self._cut(
                [
                    Hit(
                        each.id,
                        self._score(words, documents[each.id], counted, average),
                        None,
                        each.document,
                        each.metadata,
                        np.asarray(each.embedding, dtype=np.float32) if request.include_embeddings else None,
                    )
                    for each in found
                    if self._is_hit(documents[each.id], words)
                ],
                request.k,
            )
            for words in request.queries
        ]

    def _records(self, collection: CollectionInfo) -> list[Record]:
        """The records that the index knows."""
        return self.get(collection, Read(include_embeddings=True))

    def _words(self, collection: CollectionInfo, document: str | None) -> Counter[str]:
        """The words of a document."""
        return Counter() if document is None else analyzer(collection.spec.language).counts(document)

    def _counted(self, everything: list[Record], found: list[Record]) -> list[Record]:
        """The records whose documents N and df count."""
        return [each for each in everything if each.document is not None]

    def _is_hit(self, document: Counter[str], words: Sequence[str]) -> bool:
        return any(word in document for word in words)

    def _score(
        self, words: Sequence[str], document: Counter[str], counted: list[Counter[str]], average: float
    ) -> float:
        score = 0.0
        for word in words:
            holding = sum(word in each for each in counted)
            if document[word]:
                score += self._idf(len(counted), holding) * self._weight(document[word], document.total(), average)
        return score

    def _idf(self, documents: int, holding: int) -> float:
        return idf(documents, holding)

    def _weight(self, frequency: int, length: int, average: float) -> float:
        """The weight of a word within a document; `average` is the mean length of all."""
        return saturation(frequency, penalty(length))

    def _cut(self, hits: list[Hit], k: int) -> list[Hit]:
        """The best of the hits, which come in ascending order of id."""
        return sorted(hits, key=lambda hit: -hit.score)[:k]


class DocumentsKeepTheirCase(FaultyText):
    """7.1 Folds the case of queries alone, as an index on a column of raw text does."""

    def _words(self, collection: CollectionInfo, document: str | None) -> Counter[str]:
        return Counter((document or "").split())


class DocumentsAreInEnglish(FaultyText):
    """7.1 Takes the default configuration of its server for every collection."""

    def _words(self, collection: CollectionInfo, document: str | None) -> Counter[str]:
        return Counter() if document is None else analyzer("english").counts(document)


class IndexesTheBeginning(FaultyText):
    """7.1 Indexes the first thousand words of a document, as where an index entry has a longest size."""

    def _words(self, collection: CollectionInfo, document: str | None) -> Counter[str]:
        words = analyzer(collection.spec.language).words(document or "")
        return Counter(words[:1000])


class IndexesFromNowOn(FaultyText):
    """7.1 An index that is made later has none of the documents that were there."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, set[str]] = {}

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        self._before[collection.generation] = {record.id for record in self.get(collection, Read())}
        return super().create_text_index(collection, progress)

    def _records(self, collection: CollectionInfo) -> list[Record]:
        before = self._before.get(collection.generation, set[str]())
        return [record for record in super()._records(collection) if record.id not in before]


class IndexesNothingLater(FaultyText):
    """7.1 An index that is made later is not kept in step with what is written after it."""

    def __init__(self) -> None:
        super().__init__()
        self._then: dict[str, list[Record]] = {}

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        self._then[collection.generation] = self.get(collection, Read(include_embeddings=True))
        return super().create_text_index(collection, progress)

    def _records(self, collection: CollectionInfo) -> list[Record]:
        return self._then.get(collection.generation) or super()._records(collection)


class RemembersDeletedWords(FaultyText):
    """7.2 N and df count documents that were deleted or replaced, as indexes do until they are compacted."""

    def __init__(self) -> None:
        super().__init__()
        self._gone: list[Record] = []

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        self._gone += self.get(collection, Read(ids, where))
        return super().delete(collection, ids=ids, where=where)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        for batch in written:
            self._gone += self.get(collection, Read(batch.ids))
        super().upsert(collection, written)

    def _idf(self, documents: int, holding: int) -> float:
        return super()._idf(documents + len(self._gone), holding)


class FindsOnlyAllWords(FaultyText):
    """7.2 A hit holds every word of the query, as under `plainto_tsquery`."""

    def _is_hit(self, document: Counter[str], words: Sequence[str]) -> bool:
        return bool(words) and all(word in document for word in words)


class ReturnsWhatHoldsNoWord(FaultyText):
    """7.2 Documents without a word of the query follow, with a score of 0."""

    def _is_hit(self, document: Counter[str], words: Sequence[str]) -> bool:
        return bool(words)


class IdfMayBeNegative(FaultyText):
    """7.2 Leaves out the 1 in the logarithm: words that most documents hold count against a document."""

    def _idf(self, documents: int, holding: int) -> float:
        return math.log((documents - holding + 0.5) / (holding + 0.5))


class WeighsByFrequencyAlone(FaultyText):
    """7.2 Plain tf-idf: the tenth occurrence counts as much as the first."""

    def _weight(self, frequency: int, length: int, average: float) -> float:
        return float(frequency)


class IgnoresLengths(FaultyText):
    """7.2 A word in a long document weighs as much as one in a short, as by `ts_rank` without its flags."""

    def _weight(self, frequency: int, length: int, average: float) -> float:
        return frequency * 2.2 / (frequency + 1.2)


class AveragesLengths(FaultyText):
    """7.2 Measures lengths against their running average, as Lucene does: each write changes every score."""

    def _weight(self, frequency: int, length: int, average: float) -> float:
        return frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / (average or 1.0)))


class CountsMissingDocuments(FaultyText):
    """7.2 N counts records without a document."""

    def _counted(self, everything: list[Record], found: list[Record]) -> list[Record]:
        return everything


class TextTiesInOrderOfWriting(FaultyText):
    """7.2 Equal scores stand in the order in which the rows happen to lie."""

    def _records(self, collection: CollectionInfo) -> list[Record]:
        place = {id: at for at, id in enumerate(self._rows(collection))}
        return sorted(super()._records(collection), key=lambda record: place[record.id])


class WeighsWhatMatches(FaultyText):
    """7.4 N and df count what the filter leaves, as where each tenant has an index of its own."""

    def _counted(self, everything: list[Record], found: list[Record]) -> list[Record]:
        return super()._counted(found, found)


class TextFiltersAfterTheCut(FaultyBackend):
    """7.4 Ranks all documents, cuts, and filters what is left."""

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        where, found = request.where, super().search_text(collection, replace(request, where=None))
        return [[hit for hit in hits if where is None or matches(where, hit.document, hit.metadata)] for hits in found]


class RoundsTextScores(FaultyText):
    """7.5 Scores have three decimals, as an answer in JSON may."""

    def _cut(self, hits: list[Hit], k: int) -> list[Hit]:
        rounded = [Hit(hit.id, round(hit.score, 3), None, hit.document, hit.metadata, hit.embedding) for hit in hits]
        return super()._cut(rounded, k)
