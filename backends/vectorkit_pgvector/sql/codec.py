"""Values to and from PostgreSQL's binary formats, packed by NumPy: no vector is ever written as text.

The formats are those of pgvector's `vector_send` and `vector_recv` (int16 dimension, int16 unused, then float4s),
of `array_recv`, and of COPY BINARY, all big-endian (https://www.postgresql.org/docs/current/sql-copy.html).
"""

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

from vectorkit.types import FloatArray, Json, Metadata

__all__ = [
    "COPY_END",
    "COPY_START",
    "Binary",
    "BinaryDumper",
    "copy_rows",
    "dump_json",
    "jsonb_array",
    "load_metadata",
    "load_vector",
    "load_vectors",
    "number_fields",
    "posting_row",
    "text_array",
    "vector",
    "vector_array",
]

COPY_START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = b"\xff\xff"

_TEXT_OID: Final = 25
_LISTS: Final = (20, 701)  # bigint, float8
_JSONB_OID: Final = 3802
_JSONB_VERSION: Final = b"\x01"
_SIZE: Final = struct.Struct(">i")
_FOUR_FIELDS: Final = b"\x00\x04"
_NULL: Final = b"\xff\xff\xff\xff"
_VECTOR_HEADER: Final = 4  # bytes before the numbers
_decode: Final = json.JSONDecoder().raw_decode
_LARGE_FLOAT: Final = 1e16  # from here on, `repr` of a float uses an exponent


class Binary(bytes):
    """A statement's parameter in binary format; a cast in the statement says of which type."""


class BinaryDumper(Dumper):
    """Hands a `Binary` to the server as it is; its type is left open (oid 0)."""

    format = Format.BINARY

    def dump(self, obj: Binary) -> bytes:
        """Return the bytes."""
        return obj


# --- vectors ----------------------------------------------------------------------------------------------------


def vector(values: FloatArray) -> Binary:
    """One vector, of shape `(dimension,)`, as a parameter."""
    return Binary(struct.pack(">hh", len(values), 0) + values.astype(">f4").tobytes())


def load_vector(sent: bytes) -> FloatArray:
    """The vector that `vector_send` sent, as a float32 array of its own."""
    return np.frombuffer(sent, dtype=">f4", offset=_VECTOR_HEADER).astype(np.float32)


def load_vectors(sent: Sequence[bytes], dimension: int) -> FloatArray:
    """The vectors that `vector_send` sent, as they are: big-endian float32, of shape `(len(sent), dimension)`."""
    return np.frombuffer(b"".join(sent), dtype=">f4").reshape(len(sent), 1 + dimension)[:, 1:]  # without the headers


def _vector_fields(vectors: FloatArray) -> memoryview:
    """Each vector as a field with its length before it, as arrays and COPY both have it."""
    count, dimension = vectors.shape
    layout = np.dtype([("length", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("values", ">f4", (dimension,))])
    fields = np.empty(count, dtype=layout)
    fields["length"] = _VECTOR_HEADER + 4 * dimension
    fields["dimension"] = dimension
    fields["unused"] = 0
    fields["values"] = vectors
    return fields.data


# --- arrays, for unnest -----------------------------------------------------------------------------------------


def vector_array(vectors: FloatArray, oid: int) -> Binary:
    """A `vector[]`; `oid` is that of the type `vector`, which differs between databases."""
    return Binary(b"".join((_array_header(len(vectors), oid), _vector_fields(vectors))))


def text_array(values: Sequence[str | None]) -> Binary:
    """A `text[]`."""
    fields = (_NULL if value is None else _field(value.encode()) for value in values)
    return Binary(_array_header(len(values), _TEXT_OID) + b"".join(fields))


def jsonb_array(values: Sequence[Json]) -> Binary:
    """A `jsonb[]`."""
    fields = (_field(_JSONB_VERSION + dump_json(value).encode()) for value in values)
    return Binary(_array_header(len(values), _JSONB_OID) + b"".join(fields))


def _array_header(count: int, oid: int) -> bytes:
    # dimensions, whether there may be nulls, type of the elements, their number, the first index
    return struct.pack(">iiIii", 1, 1, oid, count, 1) if count else struct.pack(">iiI", 0, 0, oid)


def _field(content: bytes) -> bytes:
    return _SIZE.pack(len(content)) + content


# --- COPY -------------------------------------------------------------------------------------------------------


def copy_rows(
    ids: Sequence[str], documents: Sequence[str | None], metadatas: Sequence[Metadata], vectors: FloatArray
) -> bytes:
    """Rows of id, document, metadata and embedding as COPY BINARY has them."""
    embeddings = _vector_fields(vectors)
    size = _SIZE.pack  # fields are not made one by one: half of the time would go into that
    parts: list[bytes | memoryview] = []
    for row, (id, document, metadata) in enumerate(zip(ids, documents, metadatas, strict=True)):
        name, jsonb = id.encode(), _JSONB_VERSION + dump_json(metadata).encode()
        if document is None:
            parts += (_FOUR_FIELDS, size(len(name)), name, _NULL)
        else:
            text = document.encode()
            parts += (_FOUR_FIELDS, size(len(name)), name, size(len(text)), text)
        parts += (size(len(jsonb)), jsonb, embeddings[row : row + 1])
    return b"".join(parts)


def posting_row(word: str, count: int, numbers: memoryview | bytes = b"", weights: memoryview | bytes = b"") -> bytes:
    """One row of text, bigint, bigint[] and float8[] as COPY BINARY has it.

    Args:
        word: The first column.
        count: The second.
        numbers: Elements of the third, as `number_fields` packs them.
        weights: Elements of the fourth.
    """
    arrays = (
        _field(_array_header(len(each), oid) + bytes(each))
        for each, oid in zip((numbers, weights), _LISTS, strict=True)
    )
    return b"".join((_FOUR_FIELDS, _field(word.encode()), _field(count.to_bytes(8, signed=True)), *arrays))


def number_fields(values: NDArray[np.int64] | NDArray[np.float64]) -> memoryview:
    """Integers or floats as elements of an array of 8-byte numbers; slices of it are those of slices of `values`."""
    fields = np.empty(len(values), dtype=np.dtype([("length", ">i4"), ("value", values.dtype.newbyteorder(">"))]))
    fields["length"] = 8
    fields["value"] = values
    return fields.data


# --- JSON -------------------------------------------------------------------------------------------------------


def dump_json(value: Json) -> str:
    """JSON text that `jsonb` gives back equal and with the same Python types.

    `jsonb` keeps numbers as decimals: `1.0` comes back with its fraction, so as a float, but `1e+16` as
    `10000000000000000`, so as an int. Such floats are therefore written out, `10000000000000000.0`.
    """
    text = _encode(value)
    return _write_out(value) if "e+" in text else text


def _encode(value: Json) -> str:
    return "".join(_chunks(value, 0))


def _encoder() -> Callable[[Json, int], Iterable[str]]:
    """What encodes JSON, made once: `JSONEncoder.encode` makes one a call, which takes as long as using it."""
    plain = json.JSONEncoder(ensure_ascii=False)
    make = getattr(json.encoder, "c_make_encoder", None)  # CPython's
    if make is None:
        return lambda value, _: plain.iterencode(value)
    text = json.encoder.encode_basestring
    encoder: Callable[[Json, int], Iterable[str]] = make(
        None, plain.default, text, None, plain.key_separator, plain.item_separator, False, False, True
    )
    return encoder


_chunks: Final = _encoder()


def _write_out(value: Json) -> str:
    if isinstance(value, float) and abs(value) >= _LARGE_FLOAT:
        return f"{int(value)}.0"
    if isinstance(value, dict):
        pairs = (f"{_encode(key)}: {_write_out(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_write_out, value)) + "]"
    return _encode(value)


def load_metadata(text: str) -> Metadata:
    """Metadata from the text of a `jsonb`, which begins and ends with its braces."""
    return cast("dict[str, Any]", _decode(text)[0])
