"""Metadata objects: JSON within limits, copied into Python's own types (rule 2.5)."""

import math
from functools import lru_cache
from typing import Final

from vectorkit._narrow import is_dict, is_list, is_mapping, is_scalar
from vectorkit.errors import InvalidArgumentError, InvalidMetadataError
from vectorkit.types import Json, Metadata
from vectorkit.validation import check_text, is_plain_ascii, plain_text, short

__all__ = ["INT64", "MAX_ELEMENTS", "MAX_KEYS", "MAX_NESTED_KEYS", "MAX_NESTING", "as_metadata", "check_metadata_key"]

_RESERVED_PREFIXES: Final = ("$", "#", "_vk", "chroma:")
_MAX_KEY: Final = 256
MAX_KEYS: Final = 256
MAX_ELEMENTS: Final = 1000
MAX_NESTED_KEYS: Final = 10_000
MAX_NESTING: Final = 32
INT64: Final = 2**63
_PYTHON_TYPES: Final = frozenset((str, int, float, bool, list, dict, type(None)))


def check_metadata_key(key: object) -> str:
    """Return `key` if it can be a top-level metadata key (rule 2.5), or raise `InvalidMetadataError`."""
    if not isinstance(key, str):
        raise InvalidMetadataError(f"a metadata key is a str, not {short(key)} ({type(key).__name__})")
    if not 1 <= len(key) <= _MAX_KEY:
        raise InvalidMetadataError(f"a metadata key has 1 to {_MAX_KEY} characters, not {len(key):,}: {short(key)}")
    if key.startswith(_RESERVED_PREFIXES):
        raise InvalidMetadataError(f"a metadata key does not begin with {', '.join(_RESERVED_PREFIXES)}: {short(key)}")
    try:
        check_text(key, f"the metadata key {short(key)}")
    except InvalidArgumentError as error:
        raise InvalidMetadataError(str(error)) from None
    return plain_text(key)


_check_plain_key: Final = lru_cache(maxsize=1024)(check_metadata_key)
"""For keys whose type is `str` itself: records have the same few, and other types may have an equality of their own."""


def as_metadata(value: object, record_id: str) -> Metadata:
    """Return a metadata object as a copy of its own in Python's types (rule 2.5).

    Args:
        value: A mapping of JSON values, NumPy scalars among them, or None for `{}`.
        record_id: The record's id, for the message.

    Raises:
        InvalidMetadataError: It is not JSON, or beyond a limit; the message names the record, the key and the type.
    """
    if value is None:
        return {}
    if not is_mapping(value):
        raise InvalidMetadataError(
            f"the metadata of record {short(record_id)} is a dict or None, not {type(value).__name__}"
        )
    if len(value) > MAX_KEYS:
        raise InvalidMetadataError(
            f"the metadata of record {short(record_id)} has {len(value):,} keys; at most {MAX_KEYS} are taken"
        )
    cleaner = _MetadataCleaner()
    cleaned: Metadata = {}
    for key, item in value.items():
        try:
            name = _check_plain_key(key) if type(key) is str else check_metadata_key(key)
            cleaned[name] = cleaner.clean(item, 0)
        except InvalidMetadataError as error:
            raise InvalidMetadataError(f"metadata of record {short(record_id)}, key {short(key)}: {error}") from None
    return cleaned


class _MetadataCleaner:
    """Checks and copies the values of one metadata object; counts elements and keys over all of it, before it walks."""

    def __init__(self) -> None:
        self._elements = 0
        self._keys = 0

    def clean(self, value: object, nesting: int) -> Json:
        if type(value) is str and value.isascii() and "\0" not in value:  # what most values are needs no further look
            return value
        if type(value) is int and -INT64 <= value < INT64:
            return value
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) not in _PYTHON_TYPES and is_scalar(value):
            value = value.item()
        if isinstance(value, str):
            return _clean_string(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if not -INT64 <= value < INT64:
                raise InvalidMetadataError("int beyond 64 bits; store it as a str")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise InvalidMetadataError(f"float {value} is not finite; leave the key out or use None")
            return float(value)
        if is_list(value):
            _check_nesting(nesting)
            self._elements += len(value)
            if self._elements > MAX_ELEMENTS:
                raise InvalidMetadataError(f"list: more than {MAX_ELEMENTS:,} list elements in one record")
            return [self.clean(item, nesting + 1) for item in value]
        if is_dict(value):
            _check_nesting(nesting)
            self._keys += len(value)
            if self._keys > MAX_NESTED_KEYS:
                raise InvalidMetadataError(f"dict: more than {MAX_NESTED_KEYS:,} keys of nested dicts in one record")
            return {self._nested_key(key): self.clean(item, nesting + 1) for key, item in value.items()}
        raise InvalidMetadataError(
            f"{type(value).__name__} is not JSON; use None, bool, int, float, str, list or dict "
            "(dates as ISO strings: they keep their order)"
        )

    @staticmethod
    def _nested_key(key: object) -> str:
        if not isinstance(key, str):
            raise InvalidMetadataError(f"nested key of type {type(key).__name__}; keys are str")
        return _clean_string(key)


def _check_nesting(nesting: int) -> None:
    if nesting >= MAX_NESTING:
        raise InvalidMetadataError(f"lists and dicts nested deeper than {MAX_NESTING} levels")


def _clean_string(value: str) -> str:
    if is_plain_ascii(value):
        return value
    try:
        check_text(value, "str")
    except InvalidArgumentError as error:
        raise InvalidMetadataError(str(error)) from None
    return plain_text(value)
