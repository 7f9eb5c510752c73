"""Indexes as objects: their ranges, their names, and what is stored of them."""

from typing import Any

import numpy as np
import pytest

from vectorkit import HNSW, BackendError, InvalidArgumentError, IVFFlat, UnsupportedError, VectorStore, connect
from vectorkit.indexes import Index, IndexProgress, as_index, index_text, read_index


@pytest.fixture
def store() -> VectorStore:
    return connect("memory:")


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (HNSW, {"m": 1}, "m is 2 to 100, not 1"),
        (HNSW, {"m": 101}, "m is 2 to 100"),
        (HNSW, {"m": 16.0}, "m is an int"),
        (HNSW, {"m": True}, "m is an int"),
        (HNSW, {"ef_construction": 31}, r"ef_construction \(m=16\) is 32 to 1,000, not 31"),
        (HNSW, {"m": 2, "ef_construction": 3}, "4 to 1,000"),
        (HNSW, {"ef_construction": 1001}, "32 to 1,000"),
        (HNSW, {"ef_search": 0}, "ef_search is 1 to 1,000"),
        (HNSW, {"ef_search": 1001}, "ef_search is 1 to 1,000"),
        (HNSW, {"quantization": "int8"}, "'half', 'binary'"),
        (IVFFlat, {"lists": 0}, "lists is 1 to 32,768"),
        (IVFFlat, {"lists": 32_769}, "lists is 1 to 32,768"),
        (IVFFlat, {"probes": 0}, "probes is 1 to 32,768"),
        (IVFFlat, {"probes": "3"}, "probes is an int"),
        (IVFFlat, {"quantization": False}, "quantization"),
    ],
)
def test_a_setting_out_of_range_is_refused(kind: type[Index], settings: dict[str, Any], said: str) -> None:
    """8.3 The message names the setting and its range."""
    with pytest.raises(InvalidArgumentError, match=said):
        kind(**settings)


def test_the_ends_of_the_ranges_and_numbers_of_numpy_are_taken() -> None:
    assert HNSW(m=2, ef_construction=4, ef_search=1).m == 2
    assert HNSW(m=100, ef_construction=1000, ef_search=1000, quantization="half").ef_search == 1000
    assert IVFFlat(lists=32_768, probes=32_768, quantization="binary").lists == 32_768
    made = HNSW(m=np.int64(8), ef_search=np.uint8(9))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (made, type(made.m), type(made.ef_search)) == (HNSW(m=8, ef_search=9), int, int)


def test_a_name_is_an_index_with_default_settings() -> None:
    assert as_index("hnsw") == HNSW()
    assert as_index("ivfflat") == IVFFlat()
    assert as_index("none") is None
    assert as_index(IVFFlat(lists=3)) == IVFFlat(lists=3)
    for value in ("HNSW", "flat", None, HNSW, {"kind": "hnsw"}):
        with pytest.raises(InvalidArgumentError, match="index is"):
            as_index(value)


@pytest.mark.parametrize("index", [None, HNSW(), IVFFlat(), HNSW(m=8, quantization="half"), IVFFlat(lists=3, probes=2)])
def test_what_is_stored_of_an_index_is_read_back(index: Index | None) -> None:
    """1.2 The names alone are what earlier releases stored."""
    assert read_index(index_text(index)) == index
    assert [index_text(each) for each in (None, HNSW(), IVFFlat())] == ["none", "hnsw", "ivfflat"]


@pytest.mark.parametrize("text", ["diskann", '{"kind": "diskann", "m": 3}', '{"kind": "hnsw", "levels": 3}'])
def test_an_index_of_a_later_release_is_not_guessed_at(text: str) -> None:
    with pytest.raises(BackendError, match="newer release"):
        read_index(text)


def test_progress_is_shown_as_a_share_where_it_is_known() -> None:
    assert str(IndexProgress("loading tuples", 1, 4)) == "loading tuples 25%"
    assert str(IndexProgress("waiting for writers", 0, 0)) == "waiting for writers"


def test_signs_approximate_angles_alone(store: VectorStore) -> None:
    """9.2 Binary quantization under another metric is refused, on whatever backend, and nothing is made."""
    for metric in ("l2", "ip", "dot"):
        with pytest.raises(UnsupportedError, match="metric='cosine'"):
            store.create_collection("docs", dimension=2, metric=metric, index=IVFFlat(quantization="binary"))
    assert store.list_collections() == []
    store.create_collection("docs", dimension=2, index=HNSW(quantization="binary"))


def test_an_index_cannot_be_none_by_way_of_creating_one(store: VectorStore) -> None:
    with pytest.raises(InvalidArgumentError, match=r"drop_index\(\)"):
        store.create_collection("docs", dimension=2).create_index("none")
