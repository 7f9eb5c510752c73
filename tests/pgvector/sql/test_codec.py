"""What goes to PostgreSQL in binary comes back as it was."""

import json
import math
import random
import struct
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.rows import tuple_row

from vectorkit.types import FloatArray
from vectorkit_pgvector.sql.codec import (
    Binary,
    BinaryDumper,
    dump_json,
    jsonb_array,
    load_metadata,
    load_vector,
    load_vectors,
    text_array,
    vector,
)

LARGE = [1e15, 1e16, -1e16, 123456789012345680.0, 2.0**53, 2.0**63, 1e22, 1e300, -1e300, 1.7976931348623157e308]
SMALL = [0.0, 1.0, -1.5, 0.1, 1 / 3, 1e-5, 1e-7, 2.2250738585072014e-308, 5e-324]


def ask(connection: psycopg.Connection[Any], query: bytes, *parameters: object) -> Any:
    cursor = psycopg.RawCursor(connection, row_factory=tuple_row)
    cursor.adapters.register_dumper(Binary, BinaryDumper)
    row = cursor.execute(query, parameters, binary=True).fetchone()
    assert row is not None
    return row[0]


def round_trip(connection: psycopg.Connection[Any], metadata: dict[str, Any]) -> Any:
    return load_metadata(ask(connection, b"SELECT $1::text::jsonb::text", dump_json(metadata)))


@pytest.mark.parametrize("number", LARGE + SMALL, ids=repr)
def test_a_float_stays_that_float(admin: psycopg.Connection[Any], number: float) -> None:
    """2.5 Also where `repr` has an exponent, which `jsonb` would turn into an integer."""
    back = round_trip(admin, {"x": number, "list": [number], "dict": {"deep": [number]}})
    for value in (back["x"], back["list"][0], back["dict"]["deep"][0]):
        assert type(value) is float
        assert value == number


def test_random_doubles_stay_equal(admin: psycopg.Connection[Any]) -> None:
    """2.5 Doubles of every size, 2,000 of them."""
    rng = random.Random(25)
    drawn = (struct.unpack("<d", rng.randbytes(8))[0] for _ in range(2_000))
    numbers = [number for number in drawn if math.isfinite(number)]
    back = round_trip(admin, {"x": numbers})["x"]
    assert back == numbers
    assert {type(value) for value in back} == {float}


def test_text_that_looks_like_an_exponent_changes_nothing(admin: psycopg.Connection[Any]) -> None:
    """2.5 Strings, keys and other types come back as they were when a large float stands beside them."""
    metadata: dict[str, Any] = {
        "e+": "1e+16",
        "big": 1e300,
        "é": ["1e+22", 'a"b\\c', None, True, 2**63 - 1, -(2**63), {"1e+5": [[]]}],
        "n": None,
        "\U0001f600": "\x1f\n",
    }
    back = round_trip(admin, metadata)
    assert back == metadata
    assert json.dumps(back, sort_keys=True) == json.dumps(metadata, sort_keys=True)


def test_vectors_come_back_bit_for_bit(admin: psycopg.Connection[Any]) -> None:
    """2.3 Subnormal numbers and signed zeros among them."""
    admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
    values: FloatArray = np.array([1.0, -0.0, 1e-45, -1.1754944e-38, 3.4028235e38, 1 / 3], dtype=np.float32)
    sent = ask(admin, b"SELECT vector_send($1::vector)", vector(values))
    assert load_vector(sent).tobytes() == values.tobytes()
    assert load_vectors([sent, sent], 6).astype(np.float32).tobytes() == values.tobytes() * 2
    assert load_vector(sent).dtype == np.float32


def test_arrays_hold_nulls_and_nothing_at_all(admin: psycopg.Connection[Any]) -> None:
    texts = ["", None, "{}", '"', "\\", "NULL", "a,b", "日本語", "x" * 70_000]
    assert ask(admin, b"SELECT $1::text[]", text_array(texts)) == texts
    assert ask(admin, b"SELECT cardinality($1::text[])", text_array([])) == 0
    objects: list[Any] = [{"a": 1}, {}, {"b": [1e16]}]
    assert ask(admin, b"SELECT $1::jsonb[]", jsonb_array(objects)) == objects
