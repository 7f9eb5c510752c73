"""Stores that compare values otherwise: in equality (rule 5.4), order (5.5) and lists (5.8)."""

import re
import unicodedata
from dataclasses import replace
from typing import Any

from vectorkit.filters import Compare, matches
from vectorkit.testing.faults._backend import FaultyConditions, FaultyFilters
from vectorkit.types import Metadata

__all__ = [
    "BoolsAreNumbers",
    "ComparesBeginnings",
    "ComparesInFloat64",
    "ContainsFindsSubstrings",
    "FalsyIsNoValue",
    "IgnoresCaseOfValues",
    "IgnoresLongText",
    "ListsEqualTheirElements",
    "NormalisesText",
    "NumbersInTextAreNumbers",
    "OrdersAcrossTypes",
    "OrdersByBeginnings",
    "OrdersNumbersAsText",
    "OrdersTextByLocale",
    "OrdersTextByUtf16",
    "TextHasNoOrder",
    "TruncatesOperands",
]

_ORDERS = ("$gt", "$gte", "$lt", "$lte")


class BoolsAreNumbers(FaultyConditions):
    """5.4 True is 1, as in Python, SQLite and MySQL."""

    def _taken(self, value: Any) -> Any:
        return int(value) if isinstance(value, bool) else value


class NumbersInTextAreNumbers(FaultyConditions):
    """5.4 `"1"` is 1, as in MySQL, and wherever metadata is text and cast."""

    def _taken(self, value: Any) -> Any:
        return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) else value


class IgnoresCaseOfValues(FaultyConditions):
    """5.4 `"a"` equals `"A"`, as under the default collations of MySQL and SQL Server."""

    def _taken(self, value: Any) -> Any:
        return value.casefold() if isinstance(value, str) else value


class NormalisesText(FaultyConditions):
    """5.4 One letter equals a letter with an accent of its own, as where text is brought into a normal form."""

    def _taken(self, value: Any) -> Any:
        return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


class ComparesInFloat64(FaultyConditions):
    """5.4 `2**53 + 1` equals `2**53`, as in JavaScript, and in stores that keep numbers as doubles."""

    def _taken(self, value: Any) -> Any:
        is_small_enough = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**300
        return float(value) if is_small_enough else value


class ComparesBeginnings(FaultyConditions):
    """5.4 Long strings are equal if their first 1,024 characters are, as where an index holds a prefix."""

    def _taken(self, value: Any) -> Any:
        return value[:1024] if isinstance(value, str) else value


class IgnoresLongText(FaultyFilters):
    """5.4 Does not find strings of more than 256 characters, as under `ignore_above` of Elasticsearch's mappings."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        value = metadata.get(condition.key)
        is_long = isinstance(value, str) and len(value) > 256
        return not (is_long and condition.op in ("$eq", "$in")) and super()._compare(condition, metadata)


class FalsyIsNoValue(FaultyFilters):
    """5.4 0, False and `""` are no value, as where a client asks `if value`."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        return super()._compare(condition, {key: value for key, value in metadata.items() if value})


class TruncatesOperands(FaultyFilters):
    """5.4 1.5 equals 1, and is less than 2 but not than 1, where integers are stored: Chroma's filters do so."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        if isinstance(condition.operand, float) and type(metadata.get(condition.key)) is int:
            condition = replace(condition, operand=int(condition.operand))
        return super()._compare(condition, metadata)


class ListsEqualTheirElements(FaultyFilters):
    """5.4 `{"tags": "a"}` finds lists that hold `"a"`, as in MongoDB, Pinecone and Qdrant."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        value = metadata.get(condition.key)
        if condition.op in ("$eq", "$in") and isinstance(value, list):
            return any(matches(condition, None, {condition.key: item}) for item in value)
        return super()._compare(condition, metadata)


class TextHasNoOrder(FaultyFilters):
    """5.5 `$gt` and the like find numbers alone, as in Pinecone and Chroma; dates as text are never found."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        return not (condition.op in _ORDERS and isinstance(condition.operand, str)) and super()._compare(
            condition, metadata
        )


class OrdersAcrossTypes(FaultyFilters):
    """5.5 Every text is greater than every number, as in SQLite."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        value = metadata.get(condition.key)
        text = isinstance(value, str)
        if (
            condition.op in _ORDERS
            and isinstance(value, str | int | float)
            and text != isinstance(condition.operand, str)
        ):
            return text == (condition.op in ("$gt", "$gte"))
        return super()._compare(condition, metadata)


class _FaultyOrder(FaultyConditions):
    """Takes one value for another where they are ordered."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        return super()._compare(condition, metadata) if condition.op in _ORDERS else matches(condition, None, metadata)


class OrdersNumbersAsText(_FaultyOrder):
    """5.5 `"10"` comes before `"9"`, as where metadata is text and not cast."""

    def _taken(self, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class OrdersByBeginnings(_FaultyOrder):
    """5.5 Orders strings by their first 1,024 characters, `max_sort_length` of MySQL."""

    def _taken(self, value: Any) -> Any:
        return value[:1024] if isinstance(value, str) else value


class OrdersTextByLocale(_FaultyOrder):
    """5.5 `"a"` comes before `"B"`, as in PostgreSQL and SQL Server under a language's collation."""

    def _taken(self, value: Any) -> Any:
        return unicodedata.normalize("NFKD", value).casefold() if isinstance(value, str) else value


class OrdersTextByUtf16(_FaultyOrder):
    """5.5 A character of two units comes before U+FF5E, as in Java and JavaScript."""

    def _taken(self, value: Any) -> Any:
        return "".join(map(chr, memoryview(value.encode("utf-16")[2:]).cast("H"))) if isinstance(value, str) else value


class ContainsFindsSubstrings(FaultyFilters):
    """5.8 `$contains` looks for the operand in the text of the whole list, as `LIKE` on stored JSON does."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        value = metadata.get(condition.key)
        if condition.op == "$contains" and isinstance(condition.operand, str) and isinstance(value, list | str):
            return condition.operand in str(value)
        return super()._compare(condition, metadata)
