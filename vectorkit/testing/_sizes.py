"""What a call does with a few records it does with thousands (sections 3 to 7 of the contract)."""

from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._marks import large
from vectorkit.types import FloatArray

__all__ = ["SizeRules"]


def _ids(count: int) -> list[str]:
    return [f"{at:05}" for at in range(count)]


def _on_a_line(count: int, *, height: float = 0.0) -> FloatArray:
    """Vectors whose order along the first axis is that of the ids."""
    return np.stack([np.arange(count), np.full(count, height)], axis=1).astype(np.float32)


class SizeRules(Fixtures):
    """Rules 3.3 to 3.7, 4.1 to 4.3, 5.6, 6.1 and 7.2 at sizes where clients and servers cut, page or sample."""

    def test_any_number_of_records_is_changed_at_once(self, plane: Collection) -> None:
        """3.4 An update of 1,500 records changes them all: vectors, documents and metadata, replaced or merged."""
        ids = _ids(1500)
        plane.add(ids=ids, embeddings=_on_a_line(1500), metadatas=[{"v": 0, "kept": at} for at in range(1500)])
        plane.update(ids=ids, metadatas=[{"v": 1}] * 1500, merge=True)
        assert plane.count({"v": 1, "kept": {"$gte": 0}}) == 1500
        plane.update(ids=ids, documents=["new"] * 1500, embeddings=_on_a_line(1500, height=9), metadatas=[None] * 1500)
        assert plane.count({"v": {"$exists": False}}, where_document={"$contains": "new"}) == 1500
        heights = [np.asarray(record.embedding)[1] for record in plane.get(include_embeddings=True)]
        assert heights == [9] * 1500
        plane.update(ids=ids, documents=[None] * 1500)
        assert plane.count(where_document={"$contains": "new"}) == 0

    def test_any_number_of_records_is_replaced_at_once(self, plane: Collection) -> None:
        """3.3 An upsert of 1,500 records, most of which are stored, replaces and adds them all."""
        ids = _ids(1500)
        plane.add(ids=ids[:1400], embeddings=_on_a_line(1400), documents=["old"] * 1400)
        plane.upsert(ids=ids, embeddings=_on_a_line(1500, height=9), metadatas=[{"v": 1}] * 1500)
        assert plane.count({"v": 1}) == 1500
        assert plane.count(where_document={"$contains": "old"}) == 0
        assert ids_of(plane.search([1500, 9], 1500, exact=True)) == ids[::-1]

    def test_any_number_of_records_is_deleted_by_a_filter(self, plane: Collection) -> None:
        """3.5 Of 1,500 records 1,450 match and go; the number that is returned is theirs."""
        metadatas: list[Any] = [{"stays": at % 30 == 0} for at in range(1500)]
        plane.add(ids=_ids(1500), embeddings=_on_a_line(1500), metadatas=metadatas)
        assert plane.delete(where={"stays": False}) == 1450
        assert ids_of(plane.get()) == _ids(1500)[::30]
        assert plane.delete(where={"gone": {"$ne": True}}) == 50
        assert plane.search([0, 0], exact=False) == []

    def test_a_key_may_be_missing_from_the_first_record_or_the_last(self, plane: Collection) -> None:
        """5.6 No operator samples: of 2,200 records the last 1,100 lack one key, and the first 1,100 another."""
        ids = _ids(2200)
        metadatas: list[Any] = [{"early": 1} if at < 1100 else {"late": 1} for at in range(2200)]
        plane.add(ids=ids, embeddings=_on_a_line(2200), metadatas=metadatas)
        for key, lacking in (("early", ids[1100:]), ("late", ids[:1100])):
            filters: list[Any] = [
                *({key: {"$ne": 1}}, {key: {"$nin": [1, 2]}}, {key: None}, {key: {"$eq": None}}),
                *({key: {"$in": [None]}}, {key: {"$exists": False}}, {"$not": {key: 1}}, {"$not": {key: {"$gt": 0}}}),
            ]
            for where in filters:
                assert plane.count(where) == len(lacking), where
            assert ids_of(plane.get(where={key: {"$ne": 1}})) == lacking
            assert ids_of(plane.search([-1, 0], 2200, where={key: {"$ne": 1}})) == lacking
            assert plane.count({key: {"$not_contains": 1}}) == plane.count({key: {"$ne": 2}}) == 2200

    def test_a_text_search_finds_thousands(self, store: VectorStore) -> None:
        """7.2 All 1,500 documents that hold the word, if so many are asked for."""
        if not store.backend.capabilities.text_search:
            return
        docs = store.create_collection("docs", dimension=2, text_index=True, language="none")
        docs.add(ids=_ids(1500), embeddings=_on_a_line(1500, height=1), documents=["red"] * 1500)
        assert ids_of(docs.search("red", 2000, mode="text")) == _ids(1500)

    @large
    @pytest.mark.parametrize("count", [12_000])
    def test_twelve_thousand_records_are_no_special_case(self, plane: Collection, count: int) -> None:
        """6.1 As many come back as are asked for, and every other call takes, counts and returns them all."""
        ids, half = _ids(count), _ids(count)[::2]
        metadatas: list[Any] = [{"half": at % 2 == 0} for at in range(count)]
        plane.add(ids=ids, embeddings=_on_a_line(count), metadatas=metadatas)
        assert plane.count() == plane.count({"other": {"$ne": 1}}) == count
        assert ids_of(plane.get()) == ids_of(plane.get(ids)) == ids_of(plane.scan()) == ids
        assert ids_of(plane.get(limit=5, offset=count - 5)) == ids[-5:]
        for exact in (None, True, False):
            assert len({hit.id for hit in plane.search([-1, 0], count, exact=exact)}) == count, exact
        assert ids_of(plane.search([-1, 0], count, where={"half": True}, exact=True)) == half
        plane.update(ids=ids, metadatas=[{"half": None}] * count)
        assert plane.count({"half": None}) == count
        assert plane.delete(ids[:-1]) == count - 1
        assert ids_of(plane.get()) == ids[-1:]
