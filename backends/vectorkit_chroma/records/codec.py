"""Records as rows of Chroma, so that any JSON comes back as it was and every filter has exact columns to ask.

Chroma's metadata is flat, merges number types and moves a quarter of all floats by an ulp. A row therefore holds

- under the metadata's own keys: bools, ints and strings, which Chroma keeps and compares exactly;
- `_vkf:KEY`: a float as the int64 that has its place among all doubles (`float_image`), so nothing is rounded;
- `_vklN:KEY:ELEMENT`, N the length of KEY: 1 for each different element of a list (not a list of Chroma's: of those,
  the elements stay behind when their collection is dropped, and turn up in later records);
- `_vkj`: JSON of the values that are lists or dicts;
- `_vk`: the *signature*: whether there is a document, and every key with the kind of its value. It says how to read the
  row back, and answers what Chroma has no operator for: which records have a key, and of what type.

Keys of records cannot begin with `_vk` (rule 2.5), so nothing collides.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from vectorkit.types import Json, Metadata

__all__ = [
    "BIG_NORM",
    "SIGNATURE",
    "Kind",
    "Row",
    "Signature",
    "decode",
    "element_key",
    "encode",
    "float_image",
    "float_key",
    "read_signature",
]

Row: TypeAlias = dict[str, Any]
"""Metadata as Chroma holds it."""

Kind: TypeAlias = Literal["b", "i", "f", "s", "n", "l", "d"]
"""Bool, int, float, string, None, list, dict."""

SIGNATURE: Final = "_vk"
BIG_NORM: Final = "_vkn"
"""Key that marks vectors whose norm is above 1 in a collection with inner products (see `search.vectors`)."""
_REST: Final = "_vkj"

_DOUBLE: Final = struct.Struct(">d")
_INT64: Final = struct.Struct(">q")

_KINDS: Final[dict[type, Kind]] = {
    bool: "b",
    int: "i",
    float: "f",
    str: "s",
    type(None): "n",
    list: "l",
    dict: "d",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a record is made of.

    Attributes:
        text: As it stands in the row.
        has_document: Whether the record has a document; in the row, "" may stand for none.
        kinds: The kind of each metadata key's value, in the metadata's order.
        columns: For each metadata key, its key in the row and the kind.
    """

    text: str
    has_document: bool
    kinds: Mapping[str, Kind]
    columns: tuple[tuple[str, str, Kind], ...]


def float_key(key: str) -> str:
    """The row's key for the float under a metadata key."""
    return f"_vkf:{key}"


def element_key(key: str, element: Json) -> str:
    """The row's key that says that the list under a metadata key has an element equal to this scalar (rule 5.4)."""
    if element is None:
        image = "n"
    elif isinstance(element, bool):
        image = f"b{element}"
    elif isinstance(element, str):
        image = f"s{element}"
    elif isinstance(element, float) and not element.is_integer():
        image = f"f{element!r}"
    else:
        image = f"i{int(element):x}"  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return f"_vkl{len(key)}:{key}:{image}"


def encode(metadata: Metadata, *, has_document: bool) -> Row:
    """Return the row of a record."""
    row: Row = {}
    rest: dict[str, Json] = {}
    kinds: list[tuple[str, Kind]] = []
    for key, value in metadata.items():
        kind = _KINDS[type(value)]
        kinds.append((key, kind))
        if kind == "s" or kind == "i" or kind == "b":
            row[key] = value
        elif isinstance(value, float):
            row[float_key(key)] = float_image(value)
        elif value is not None:
            rest[key] = value
            if isinstance(value, list):
                row.update((element_key(key, item), 1) for item in value if not isinstance(item, list | dict))
    if rest:
        row[_REST] = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
    row[SIGNATURE] = _signature(has_document, tuple(kinds))
    return row


def decode(row: Row, text: str | None) -> tuple[str | None, Metadata]:
    """Return document and metadata of the record that a row and what Chroma holds as its document stand for."""
    signature = read_signature(row[SIGNATURE])
    rest: dict[str, Json] = json.loads(row[_REST]) if _REST in row else {}
    metadata: Metadata = {}
    for key, column, kind in signature.columns:
        if kind == "s" or kind == "i" or kind == "b":
            metadata[key] = row[column]
        elif kind == "f":
            metadata[key] = _float_of(row[column])
        else:
            metadata[key] = rest.get(key)
    return (text or "") if signature.has_document else None, metadata


@lru_cache(maxsize=4096)
def read_signature(text: str) -> Signature:
    """Read the signature of a row."""
    has_document, found = json.loads(text)
    kinds: dict[str, Kind] = dict(found)
    columns: tuple[tuple[str, str, Kind], ...] = tuple(
        (key, float_key(key) if kind == "f" else key, kind) for key, kind in kinds.items()
    )
    return Signature(text, bool(has_document), kinds, columns)


@lru_cache(maxsize=4096)
def _signature(has_document: bool, kinds: tuple[tuple[str, Kind], ...]) -> str:
    return json.dumps([int(has_document), kinds], ensure_ascii=False, separators=(",", ":"))


def float_image(value: float) -> int:
    """Return the int64 that has the place of a double among all doubles; 0.0 and -0.0 have the same.

    The bits of a double, read as an integer, grow with its absolute value (IEEE 754, 3.4: sign, exponent, fraction).
    """
    bits: int = _INT64.unpack(_DOUBLE.pack(value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _float_of(image: int) -> float:
    value: float = _DOUBLE.unpack(_INT64.pack(abs(image)))[0]
    return value if image >= 0 else -value
