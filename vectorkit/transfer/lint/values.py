"""The values of records, looked at one by one for what other stores do not take, or take for something else."""

import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from vectorkit._narrow import is_dict, is_list
from vectorkit.errors import InvalidMetadataError
from vectorkit.metadata import INT64, MAX_ELEMENTS, MAX_KEYS, MAX_NESTING, check_metadata_key
from vectorkit.transfer.lint.findings import Findings
from vectorkit.types import Record
from vectorkit.validation import MAX_ID

__all__ = ["KeyTypes", "record_problems"]

_MOST_KEYS: Final = 10_000
"""Keys whose types are kept: memory must not grow with records that have each a key of its own."""

Type: TypeAlias = Literal["bool", "int", "float", "str", "list", "dict"]
_NUMBERS: Final = frozenset({"int", "float"})


def record_problems(record: Record) -> dict[str, str]:
    """The codes of what is wrong with a record's id, document and metadata, each with a detail."""
    found: dict[str, str] = {}
    if not 1 <= len(record.id) <= MAX_ID:
        found["id"] = ""
    _text(record.id, found)
    if record.document is not None:
        _text(record.document, found)
    if len(record.metadata) > MAX_KEYS:
        found["size"] = ""
    elements = 0
    for key, value in record.metadata.items():
        _text(key, found)
        if "\0" not in key:
            try:
                check_metadata_key(key)
            except InvalidMetadataError:
                found["key"] = ""
        nested = is_dict(value) or (is_list(value) and any(is_dict(item) or is_list(item) for item in value))
        if nested:
            found.setdefault("nested", repr(key))
        elements += _value(value, 0, found)
    if elements > MAX_ELEMENTS:
        found["size"] = ""
    return found


def _value(value: object, nesting: int, found: dict[str, str]) -> int:
    """Look at a value and all in it; return how many list elements there are."""
    if isinstance(value, str):
        _text(value, found)
    elif isinstance(value, int):
        if not -INT64 <= value < INT64:
            found["integer"] = ""
    elif isinstance(value, float):
        if not math.isfinite(value):
            found["nan"] = ""
    elif nesting >= MAX_NESTING and value is not None:
        found["size"] = ""
    elif is_list(value):
        return len(value) + sum(_value(item, nesting + 1, found) for item in value)
    elif is_dict(value):
        for key in value:
            _value(key, nesting, found)
        return sum(_value(item, nesting + 1, found) for item in value.values())
    return 0


def _text(text: str, found: dict[str, str]) -> None:
    if "\0" in text:
        found["nul"] = ""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            found["surrogate"] = ""


class KeyTypes:
    """Which types the values of each metadata key have."""

    def __init__(self) -> None:
        self._types: dict[str, dict[str, tuple[int, str]]] = {}
        self._full = False

    def see(self, record: Record) -> None:
        """Take the types of a record's values; None has none."""
        for key, value in record.metadata.items():
            if value is None:
                continue
            types = self._types.get(key)
            if types is None:
                if len(self._types) >= _MOST_KEYS:
                    self._full = True
                    continue
                types = self._types[key] = {}
            kind = type(value).__name__
            count, first = types.get(kind, (0, record.id))
            types[kind] = count + 1, first

    def report(self, findings: Findings, *, chroma: bool) -> None:
        """Add what is mixed.

        Args:
            findings: Takes it.
            chroma: Whether these are records whose filters were Chroma's own.
        """
        for key, types in self._types.items():
            kinds = {"number" if kind in _NUMBERS else kind for kind in types}
            if len(kinds) > 1:
                self._add("mixed-types", key, types, findings)
            if chroma and len(_NUMBERS & types.keys()) > 1:
                self._add("mixed-numbers", key, {kind: types[kind] for kind in types if kind in _NUMBERS}, findings)
        if self._full:
            findings.add("many-keys", detail=f"{_MOST_KEYS:,}")

    @staticmethod
    def _add(code: str, key: str, types: Mapping[str, tuple[int, str]], findings: Findings) -> None:
        """All but those of the commonest type are named."""
        common = max(types, key=lambda kind: types[kind][0])
        ids = [first for kind, (_, first) in types.items() if kind != common]
        count = sum(count for kind, (count, _) in types.items() if kind != common)
        shown = ", ".join(f"{count:,} {kind}" for kind, (count, _) in sorted(types.items()))
        findings.add(code, ids, count=count, detail=f"{key!r} ({shown})")
