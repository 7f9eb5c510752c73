"""Records as rows of Chroma: what the layout of `vectorkit_chroma.records.codec` promises."""

import math
import random
import struct

import pytest

from vectorkit import Metadata
from vectorkit.types import Json
from vectorkit_chroma.records.codec import (
    SIGNATURE,
    decode,
    element_key,
    encode,
    float_image,
    float_key,
    read_signature,
)

ODD_NUMBERS = [0.0, 5e-324, 1e-300, 0.1, 1 / 3, 1.0, 1.5, 2.0**53, 1e16, 2.0**63, 1e300, 1.7976931348623157e308]


def some_doubles(count: int) -> list[float]:
    numbers = random.Random(0)
    found = [struct.unpack(">d", numbers.randbytes(8))[0] for _ in range(count)]
    return [number for number in found if math.isfinite(number)] + ODD_NUMBERS + [-number for number in ODD_NUMBERS]


def test_images_of_floats_have_the_order_of_the_floats() -> None:
    """5.5 Comparing the images is comparing the floats, to the last bit."""
    ordered = sorted(some_doubles(3000))
    images = [float_image(number) for number in ordered]
    assert images == sorted(images)
    assert len(set(images)) == len(set(ordered))
    assert float_image(math.nextafter(0.1, 1)) == float_image(0.1) + 1


def test_a_row_gives_back_every_float_bit_for_bit() -> None:
    """2.5 Chroma would move a quarter of them by an ulp."""
    for number in some_doubles(3000):
        _, metadata = decode(encode({"x": number}, has_document=False), None)
        assert metadata == {"x": number}
        assert isinstance(metadata["x"], float)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"n": None},
        {"b": True, "i": 1, "f": 1.0, "s": "1"},
        {"l": [], "d": {}},
        {"l": [1, 1.0, True, "1", None, [1], {"a": 1}], "d": {"": [None, {"x": 1e16}]}},
        {"i": -(2**63), "j": 2**63 - 1, "f": 2.0**63},
        {"a.b": 1, " ": 2, "'": 3, "ключ": 4, "k:f": 5},
    ],
    ids=str,
)
def test_a_row_gives_back_any_metadata_with_its_types_and_order(metadata: Metadata) -> None:
    """2.5 The round trip alone, without Chroma."""
    assert repr(decode(encode(metadata, has_document=False), None)[1]) == repr(metadata)


def test_a_document_of_none_and_an_empty_one_are_told_apart() -> None:
    """2.4 Chroma cannot take a document away: the signature says whether there is one."""
    without, empty = encode({}, has_document=False), encode({}, has_document=True)
    assert decode(without, "")[0] is None
    assert decode(empty, "")[0] == ""
    assert decode(empty, None)[0] == ""


def test_equal_elements_share_a_key_and_others_do_not() -> None:
    """5.8 Numbers by value, whatever their type; bools, numbers and strings apart."""
    groups: list[list[Json]] = [
        [1, 1.0],
        [True],
        ["1"],
        ["True"],
        [None],
        ["n"],
        [2**53, 2.0**53],
        [2**53 + 1],
        [1.5],
        ["i1"],
        [10**400],
    ]
    keys = [{element_key("k", element) for element in group} for group in groups]
    assert all(len(found) == 1 for found in keys)
    assert len(set[str]().union(*keys)) == len(groups)
    assert element_key("a", "b:c") != element_key("a:b", "c")


def test_what_is_filtered_on_lies_in_columns_that_chroma_compares_exactly() -> None:
    row = encode({"i": 3, "f": 0.5, "s": "x", "l": ["a", "a"], "d": {"z": 1}, "n": None}, has_document=True)
    assert row["i"] == 3
    assert row["s"] == "x"
    assert row[float_key("f")] == float_image(0.5)
    assert row[element_key("l", "a")] == 1
    assert not {"f", "l", "d", "n"} & row.keys()
    assert dict(read_signature(row[SIGNATURE]).kinds) == {"i": "i", "f": "f", "s": "s", "l": "l", "d": "d", "n": "n"}


def test_the_largest_record_of_the_contract_stays_within_what_chroma_takes() -> None:
    """2.5 256 keys and 1,000 list elements; a record with more than 5,461 columns would break its collection."""
    metadata: Metadata = {f"k{n}": [f"{n}-{m}" for m in range(4)] for n in range(250)}
    metadata |= {f"f{n}": n / 7 for n in range(6)}
    assert len(encode(metadata, has_document=True)) < 5000
