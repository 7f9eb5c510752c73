"""Stores that make other candidates of a vector and a text ranking (rules 7.3 and 7.4)."""

from collections.abc import Sequence
from dataclasses import replace

from vectorkit.backend.requests import HybridSearch, Read
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.types import Candidate, CollectionInfo

__all__ = [
    "CandidatesStandInBothLists",
    "EachSideKeepsItsScore",
    "FetchesTen",
    "HybridFiltersAfterTheCut",
    "NeedsAWord",
    "RanksFromZero",
    "TextFindsHaveNoDistance",
]


class FaultyHybrid(FaultyBackend):
    """Keeps the contract, until a subclass bends the candidates of a query."""

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        found = super().search_hybrid(collection, request)
        return [
            [bent for each in candidates for bent in self._bent(each, words)]
            for candidates, words in zip(found, request.queries, strict=True)
        ]

    def _bent(self, candidate: Candidate, words: Sequence[str]) -> list[Candidate]:
        """What is made of a candidate: itself, another one, or nothing."""
        return [candidate]


class EachSideKeepsItsScore(FaultyHybrid):
    """7.3 What one side did not fetch has a score of 0 there, as where two lists are merged in the client."""

    def _bent(self, candidate: Candidate, words: Sequence[str]) -> list[Candidate]:
        if candidate.text_rank is None:
            candidate = replace(candidate, text_score=0.0)
        if candidate.vector_rank is None:
            candidate = replace(candidate, hit=replace(candidate.hit, score=0.0))
        return [candidate]


class CandidatesStandInBothLists(FaultyHybrid):
    """7.3 Only what both sides found is fused, as by the usual JOIN of a vector and a text query."""

    def _bent(self, candidate: Candidate, words: Sequence[str]) -> list[Candidate]:
        return [] if words and (candidate.text_rank is None or candidate.vector_rank is None) else [candidate]


class FetchesTen(FaultyHybrid):
    """7.3 Fuses the first ten of each side, whatever it is asked for."""

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        return super().search_hybrid(collection, replace(request, fetch_k=min(request.fetch_k, 10)))


class RanksFromZero(FaultyHybrid):
    """7.3 The first of a list has rank 0, as `enumerate` gives it."""

    def _bent(self, candidate: Candidate, words: Sequence[str]) -> list[Candidate]:
        vector, text = (None if rank is None else rank - 1 for rank in (candidate.vector_rank, candidate.text_rank))
        return [replace(candidate, vector_rank=vector, text_rank=text)]


class TextFindsHaveNoDistance(FaultyHybrid):
    """7.3 What only the words found has no distance."""

    def _bent(self, candidate: Candidate, words: Sequence[str]) -> list[Candidate]:
        lost = candidate.vector_rank is None
        return [replace(candidate, hit=replace(candidate.hit, distance=None)) if lost else candidate]


class NeedsAWord(FaultyHybrid):
    """7.3 A query with no word left finds nothing, though it has a vector."""

    def _bent(self, candidate: Candidate, words: Sequence[str]) -> list[Candidate]:
        return [candidate] if words else []


class HybridFiltersAfterTheCut(FaultyBackend):
    """7.4 Filters the candidates, not what they are taken from."""

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        found = super().search_hybrid(collection, replace(request, where=None))
        kept = {record.id for record in self.get(collection, Read(where=request.where))}
        return [[each for each in candidates if each.hit.id in kept] for candidates in found]
