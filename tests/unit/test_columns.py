"""Typed columns as they are declared, wherever the collection is; they change no result."""

from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import pytest

import vectorkit as vk
from vectorkit import InvalidArgumentError, InvalidMetadataError
from vectorkit.columns import as_columns


def test_python_types_name_the_columns_types() -> None:
    given: dict[str, Any] = {"year": int, "price": float, "lang": str, "draft": bool, "published": date}
    assert as_columns(MappingProxyType(given)) == {
        "year": "int",
        "price": "float",
        "lang": "str",
        "draft": "bool",
        "published": "date",
    }
    assert as_columns(None) == as_columns({}) == {}


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ([("year", int)], InvalidArgumentError),
        ("year", InvalidArgumentError),
        ({"year": "int"}, InvalidArgumentError),
        ({"year": datetime}, InvalidArgumentError),
        ({"tags": list}, InvalidArgumentError),
        ({"year": None}, InvalidArgumentError),
        ({"year": 1}, InvalidArgumentError),
        ({"document": str}, InvalidArgumentError),
        ({"ctid": str}, InvalidArgumentError),
        ({"é" * 32: int}, InvalidArgumentError),
        ({"$year": int}, InvalidMetadataError),
        ({"": int}, InvalidMetadataError),
        ({5: int}, InvalidMetadataError),
    ],
    ids=str,
)
def test_bad_columns_are_refused_before_a_collection_is_made(columns: Any, error: type[Exception]) -> None:
    """8.1 Alike on every backend: what one store could not hold is no surprise of the switch."""
    store = vk.connect("memory:")
    for create in (store.create_collection, store.get_or_create_collection):
        with pytest.raises(error):
            create("docs", dimension=1, columns=columns)
    assert store.list_collections() == []


def test_a_collection_with_columns_is_one_like_any_other() -> None:
    store = vk.connect("memory:")
    docs = store.get_or_create_collection("docs", dimension=1, columns={"year": int, "published": date})
    docs.add(ids=["a", "b"], metadatas=[{"year": 2024}, {"year": "2024"}], embeddings=[[1], [2]])
    assert docs.info().spec.columns == {"year": "int", "published": "date"}
    assert [record.id for record in docs.get(where={"year": 2024})] == ["a"]
