"""Stores whose hits are not what is needed to choose among them, or to order them anew (rules 7.6 and 7.7)."""

from dataclasses import replace

from vectorkit.backend.requests import TextSearch
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.types import CollectionInfo, Hit

__all__ = ["HitsHoldExcerpts", "PairsVectorsInOrderOfStorage", "TextHitsHaveNoVector"]


class PairsVectorsInOrderOfStorage(FaultyBackend):
    """7.6 Reads the vectors of the hits in a second query, and takes them to come in the order of the hits."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        stored = [hit.embedding for hit in sorted(hits, key=lambda hit: hit.id)]
        return [replace(hit, embedding=vector) for hit, vector in zip(hits, stored, strict=True)]


class TextHitsHaveNoVector(FaultyBackend):
    """7.6 Has vectors for what a vector search found alone."""

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        found = super().search_text(collection, request)
        return [[replace(hit, embedding=None) for hit in hits] for hits in found]


class HitsHoldExcerpts(FaultyBackend):
    """7.7 Cuts the document of a hit at a thousand characters, as engines do that show results to people."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        return [replace(hit, document=hit.document and hit.document[:1000]) for hit in hits]
