"""JSON from files, read so that nothing in it is lost: `json` itself keeps the last of two members of one name."""

import json
from typing import Any, Final

from vectorkit._narrow import is_dict, is_list

__all__ = ["parse_json"]

_MAX_NESTING: Final = 100
"""Far beyond what metadata may hold, and far below where Python's recursion ends."""


def parse_json(text: str | bytes) -> object:
    """Parse JSON; bytes are UTF-8, which may begin with a byte order mark.

    Raises:
        ValueError: It is not JSON, or not UTF-8, or an object names a member twice, or it is nested deeper than 100
            levels; the message says which and where.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Few texts have as many brackets as that, and only those need the walk.
    if text.count("[") + text.count("{") > _MAX_NESTING and _is_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {repeated[:100]!r} stands twice in one object")
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique)
_TOO_DEEP: Final = f"nested deeper than {_MAX_NESTING} levels"


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_MAX_NESTING):
        level = [item for each in level for item in _items(each)]
    return bool(level)


def _items(value: object) -> list[object]:
    items = list(value.values()) if is_dict(value) else value if is_list(value) else []
    return [item for item in items if is_dict(item) or is_list(item)]
