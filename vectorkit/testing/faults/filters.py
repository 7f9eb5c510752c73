"""Stores that mean something else by a filter (section 5 of the contract)."""

import re
from dataclasses import replace
from typing import Any, Final

from vectorkit._narrow import is_dict, is_list
from vectorkit.backend.requests import Read, VectorSearch
from vectorkit.errors import BackendError
from vectorkit.filters import FALSE, And, Compare, Contains, Filter, Operator, matches, walk
from vectorkit.testing.faults._backend import FaultyBackend, FaultyFilters
from vectorkit.types import CollectionInfo, Metadata, Ranking

__all__ = [
    "AbsentIsNotNull",
    "ComplementNeedsAValue",
    "CutsKeys",
    "CutsLongSets",
    "DotsArePaths",
    "EmptySetMatchesAll",
    "FetchesMoreAndFilters",
    "FiltersAfterTheCut",
    "FiltersDocumentsByWord",
    "FindsBeginnings",
    "IgnoresCaseInDocuments",
    "IgnoresCaseOfKeys",
    "IgnoresDocumentFilters",
    "IgnoresTheRestOfDocuments",
    "NegatesByTurningAround",
    "NotContainsNeedsADocument",
    "NotContainsNeedsAList",
    "NotEqualNeedsTheKey",
    "NullIsAbsent",
    "PastesOperandsIntoSql",
    "ReadsWildcards",
]

_OPPOSITE: Final[dict[Operator, Operator]] = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}


class ComplementNeedsAValue(FaultyFilters):
    """5.2 Three-valued logic, as in SQL: where there is no value, the complement of a condition fails too."""

    def _fails(self, part: Filter, document: str | None, metadata: Metadata) -> bool:
        if isinstance(part, Compare) and part.op != "$exists" and metadata.get(part.key) is None:
            return False
        return super()._fails(part, document, metadata)


class NegatesByTurningAround(FaultyFilters):
    """5.2 Takes the complement of `>` for `<=`, as query builders do; what cannot be compared is neither."""

    def _fails(self, part: Filter, document: str | None, metadata: Metadata) -> bool:
        if isinstance(part, Compare) and part.op in _OPPOSITE:
            return self._holds(replace(part, op=_OPPOSITE[part.op]), document, metadata)
        return super()._fails(part, document, metadata)


class AbsentIsNotNull(FaultyFilters):
    """5.3 Finds by None only what holds a null, not what lacks the key, as containment in JSON does."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        return (condition.key in metadata or condition.operand is not None) and super()._compare(condition, metadata)


class NotEqualNeedsTheKey(FaultyFilters):
    """5.6 `$ne` and `$nin` leave out records without the key, as stores do that look a key up in an index."""

    def _fails(self, part: Filter, document: str | None, metadata: Metadata) -> bool:
        if isinstance(part, Compare) and part.op in ("$eq", "$in") and part.key not in metadata:
            return False
        return super()._fails(part, document, metadata)


class EmptySetMatchesAll(FaultyFilters):
    """5.6 Makes no condition of an empty `$in` or `$or`, and so matches everything, as joined-up query text does."""

    def _holds(self, where: Filter, document: str | None, metadata: Metadata) -> bool:
        return where == FALSE or super()._holds(where, document, metadata)


class CutsLongSets(FaultyFilters):
    """5.6 Reads the first 1,000 values of an `$in`, as stores do that bound the terms of a query."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        if isinstance(condition.operand, tuple):
            condition = replace(condition, operand=condition.operand[:1000])
        return super()._compare(condition, metadata)


class NullIsAbsent(FaultyFilters):
    """5.7 `$exists` takes a None for a missing key, as stores do that drop nulls or index values alone."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        return super()._compare(condition, {key: value for key, value in metadata.items() if value is not None})


class NotContainsNeedsAList(FaultyFilters):
    """5.8 `$not_contains` leaves out what is no list, as an operator on arrays does."""

    def _fails(self, part: Filter, document: str | None, metadata: Metadata) -> bool:
        if isinstance(part, Compare) and part.op == "$contains" and not is_list(metadata.get(part.key)):
            return False
        return super()._fails(part, document, metadata)


class IgnoresCaseOfKeys(FaultyFilters):
    """5.9 Folds the case of keys, as column names are in SQL."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        folded = {key.casefold(): value for key, value in metadata.items()}
        return super()._compare(replace(condition, key=condition.key.casefold()), folded)


class CutsKeys(FaultyFilters):
    """5.9 Knows keys by their first 63 characters, as PostgreSQL does its identifiers."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        cut = {key[:63]: value for key, value in metadata.items()}
        return super()._compare(replace(condition, key=condition.key[:63]), cut)


class DotsArePaths(FaultyFilters):
    """5.9 Reads `a.b` as `b` inside `a`, as document stores do."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        value: Any = metadata
        for step in condition.key.split("."):
            if not is_dict(value) or step not in value:
                return matches(condition, None, {})
            value = value[step]
        return matches(condition, None, {condition.key: value})


class FiltersAfterTheCut(FaultyBackend):
    """5.10 Takes the k nearest, and then looks at the filter, as an index that knows no filter does."""

    _fetched = 1

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        matching = {record.id for record in self.get(collection, Read(where=request.where))}
        found = super().search(collection, replace(request, where=None, k=self._fetched * request.k))
        return [replace(each, hits=[hit for hit in each.hits if hit.id in matching][: request.k]) for each in found]


class FetchesMoreAndFilters(FiltersAfterTheCut):
    """5.10 Takes ten times as many as asked for, and then looks at the filter, as clients of such an index do."""

    _fetched = 10


class IgnoresDocumentFilters(FaultyFilters):
    """5.11 Drops the condition on documents beside one on metadata, as a client does that knows one place for both."""

    def _holds(self, where: Filter, document: str | None, metadata: Metadata) -> bool:
        if isinstance(where, And):
            where = And(tuple(part for part in where.parts if any(isinstance(node, Compare) for node in walk(part))))
        return super()._holds(where, document, metadata)


class IgnoresCaseInDocuments(FaultyFilters):
    """5.11 Folds case in documents, as `ILIKE` and full-text indexes do."""

    def _contains(self, text: str, document: str | None) -> bool:
        return document is not None and text.casefold() in document.casefold()


class FindsBeginnings(FaultyFilters):
    """5.11 Looks for the first 256 characters of what a document should hold, as clients do that bound a term."""

    def _contains(self, text: str, document: str | None) -> bool:
        return super()._contains(text[:256], document)


class IgnoresTheRestOfDocuments(FaultyFilters):
    """5.11 Looks into the first 32,766 bytes of a document, the longest term of Lucene."""

    def _contains(self, text: str, document: str | None) -> bool:
        return document is not None and text.encode() in document.encode()[:32_766]


class ReadsWildcards(FaultyFilters):
    """5.11 `%` stands for any text and `_` for any character, as in `LIKE` whose operand was not escaped."""

    def _contains(self, text: str, document: str | None) -> bool:
        if document is None or not {"%", "_"} & {*text}:
            return super()._contains(text, document)
        pattern = re.escape(text.strip("%")).replace("%", ".*").replace("_", ".")
        return re.search(pattern, document, re.DOTALL) is not None


class FiltersDocumentsByWord(FaultyFilters):
    """5.11 Finds whole words alone, as full-text indexes do."""

    def _contains(self, text: str, document: str | None) -> bool:
        return document is not None and f" {text} " in f" {document} "


class NotContainsNeedsADocument(FaultyFilters):
    """5.11 A record without a document matches neither a text nor its absence, as in SQL."""

    def _fails(self, part: Filter, document: str | None, metadata: Metadata) -> bool:
        if isinstance(part, Contains) and document is None:
            return False
        return super()._fails(part, document, metadata)


class PastesOperandsIntoSql(FaultyFilters):
    """5.12 Builds the query as text, quotes and all: an operand can end its string, and the condition with it."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        if isinstance(condition.operand, str) and "'" in condition.operand:
            if " OR " in condition.operand:
                return True
            raise BackendError("syntax error in the query")
        return super()._compare(condition, metadata)
