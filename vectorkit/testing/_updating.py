"""Rule 3.4 of the contract: `update` changes the columns given, and nothing else."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vectorkit.collection import Collection
from vectorkit.errors import (
    DuplicateIdError,
    InvalidArgumentError,
    InvalidMetadataError,
    InvalidVectorError,
    RecordNotFoundError,
    VectorKitError,
)
from vectorkit.testing._asserts import assert_embedding, assert_refused, contents, ids_of, typed
from vectorkit.testing._fixtures import Fixtures, TextEmbedder
from vectorkit.types import FloatArray, Metadata, Record

__all__ = ["UpdateRules"]


class UpdateRules(Fixtures):
    """Rule 3.4."""

    def test_an_update_of_one_column_leaves_the_others(self, plane: Collection) -> None:
        """3.4 Embeddings, metadata, or a document with its embedding: what is not given stays."""
        plane.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], documents=["x", "y"], metadatas=[{"v": 1}, {"v": 2}])
        plane.update(ids=["a"], embeddings=[[5, 0]])
        _assert_row(plane, "a", "x", {"v": 1}, [5, 0])
        plane.update(ids=["a"], metadatas=[{"w": 3}])
        _assert_row(plane, "a", "x", {"w": 3}, [5, 0])
        plane.update(ids=["a"], documents=["z"], embeddings=[[6, 0]])
        _assert_row(plane, "a", "z", {"w": 3}, [6, 0])
        _assert_row(plane, "b", "y", {"v": 2}, [2, 0])
        plane.update(ids=["b", "a"], embeddings=np.array([[3, 1], [4, 1]]), metadatas=[{"v": 9}, None])
        _assert_row(plane, "a", "z", {}, [4, 1])
        _assert_row(plane, "b", "y", {"v": 9}, [3, 1])

    def test_a_document_that_is_given_is_embedded(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.4 Unless its embedding is given too; metadata stays."""
        given = [1.0, 2, 3, 4, 5, 6, 7, 8]
        texts.add(ids=["a", "b"], documents=["alpha", "beta"], metadatas=[{"v": 1}, {"v": 2}])
        texts.update(ids=["a"], documents=["gamma"])
        _assert_row(texts, "a", "gamma", {"v": 1}, embedder.embed_query("gamma"))
        texts.update(ids=["a", "b"], documents=["delta", "epsilon"], embeddings=[given, None])
        _assert_row(texts, "a", "delta", {"v": 1}, given)
        _assert_row(texts, "b", "epsilon", {"v": 2}, embedder.embed_query("epsilon"))

    def test_a_document_of_none_is_removed_and_the_vector_kept(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.4 Also beside documents that are set, and an empty document is set, not removed."""
        texts.add(ids=["a", "b", "c"], documents=["alpha", "beta", "gamma"])
        texts.update(ids=["a", "b", "c"], documents=[None, "delta", ""], metadatas=[{"v": 1}, {"v": 2}, {"v": 3}])
        _assert_row(texts, "a", None, {"v": 1}, embedder.embed_query("alpha"))
        _assert_row(texts, "b", "delta", {"v": 2}, embedder.embed_query("delta"))
        _assert_row(texts, "c", "", {"v": 3}, embedder.embed_query(""))
        assert ids_of(texts.get(where_document={"$contains": "a"})) == ["b"]

    def test_an_embedding_of_none_is_made_from_the_document(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.4 From the one given, else from the one stored; with neither the update is refused."""
        texts.add(ids=["a", "b"], documents=["alpha", "beta"], embeddings=[[1] * 8, [2] * 8])
        texts.add(ids=["bare"], embeddings=[[1] * 8])
        texts.update(ids=["a", "b"], embeddings=[None, [3] * 8])
        _assert_row(texts, "a", "alpha", {}, embedder.embed_query("alpha"))
        _assert_row(texts, "b", "beta", {}, [3] * 8)
        before = contents(texts)
        assert_refused(InvalidVectorError, texts.update, ids=["a", "bare"], embeddings=[[5] * 8, None])
        assert_refused(InvalidVectorError, texts.update, ids=["a"], documents=[None], embeddings=[None])
        assert_refused(RecordNotFoundError, texts.update, ids=["a", "x"], embeddings=[[5] * 8, None])
        assert contents(texts) == before

    def test_metadata_is_replaced_or_merged(self, plane: Collection) -> None:
        """3.4 Replaced as a whole; with `merge=True` the keys given are set, also to None, and the others stay."""
        old: Metadata = {"a": 1, "b": [1], "c": {"x": 1}, "d.e": "s"}
        plane.add(ids=["r", "m", "n", "e"], embeddings=[[1, at] for at in range(4)], metadatas=[old] * 4)
        plane.update(ids=["r"], metadatas=[{"a": 2}])
        plane.update(ids=["m"], metadatas=[{"a": 2.0, "b": None, "c": {"y": 2}, "f": []}], merge=True)
        plane.update(ids=["n"], metadatas=[None])
        plane.update(ids=["e"], metadatas=[None], merge=True)
        found = {record.id: typed(record.metadata) for record in plane.get()}
        assert found == {
            "r": typed({"a": 2}),
            "m": typed({"a": 2.0, "b": None, "c": {"y": 2}, "d.e": "s", "f": []}),
            "n": typed({}),
            "e": typed(old),
        }

    def test_filters_see_what_was_updated(self, plane: Collection) -> None:
        """3.4 No old value is found any more, and every new one is, also after a merge."""
        plane.add(
            ids=["a", "b"],
            embeddings=[[1, 0], [2, 0]],
            documents=["old", "old"],
            metadatas=[{"v": 1, "w": "s", "l": [1, 2]}, {"v": 1, "w": "s", "l": [1, 2]}],
        )
        plane.update(ids=["a"], documents=["new"], embeddings=[[1, 0]], metadatas=[{"v": "1", "l": [3]}])
        plane.update(ids=["b"], documents=[None], embeddings=[[2, 0]], metadatas=[{"v": None, "l": 2}], merge=True)
        expected: dict[str, list[str]] = {"old": [], "new": ["a"]}
        for text, ids in expected.items():
            assert ids_of(plane.get(where_document={"$contains": text})) == ids
        cases: list[tuple[dict[str, Any], list[str]]] = [
            *(({"v": 1}, []), ({"v": "1"}, ["a"]), ({"v": None}, ["b"]), ({"v": {"$exists": True}}, ["a", "b"])),
            *(({"w": "s"}, ["b"]), ({"w": {"$exists": False}}, ["a"]), ({"l": {"$contains": 1}}, [])),
            *(({"l": {"$contains": 3}}, ["a"]), ({"l": 2}, ["b"]), ({"l": {"$gt": 1}}, ["b"])),
        ]
        for where, ids in cases:
            assert ids_of(plane.get(where=where)) == ids, where
            assert ids_of(plane.search([0, 0], where=where)) == ids, where

    def test_an_update_of_a_missing_record_is_refused(self, plane: Collection) -> None:
        """3.4 `RecordNotFoundError` names the ids, at most ten, and nothing is written, nothing added."""
        plane.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], documents=["x", "y"], metadatas=[{"v": 1}, {}])
        before = contents(plane)
        for columns in (
            {"embeddings": [[9, 9], [9, 9]]},
            {"metadatas": [{"v": 9}, {"v": 9}]},
            {"metadatas": [{"v": 9}, {"v": 9}], "merge": True},
            {"documents": [None, None]},
        ):
            given: dict[str, Any] = {"ids": ["a", "missing"], **columns}
            message = assert_refused(RecordNotFoundError, plane.update, **given)
            assert "'missing'" in message
            assert "'a'" not in message
        many = [f"{at:02}" for at in range(30)]
        message = assert_refused(RecordNotFoundError, plane.update, ids=many, embeddings=[[1, 2]] * 30)
        assert sum(f"'{id}'" in message for id in many) == 10
        assert contents(plane) == before

    def test_an_update_in_two_parts_is_refused_whole(self, texts: Collection) -> None:
        """3.4 A document that is embedded beside one that is removed: if one row is refused, neither is written."""
        full: Metadata = {f"k{at}": at for at in range(256)}
        texts.add(ids=["a", "full"], documents=["alpha", "full"], metadatas=[{"v": 1}, full])
        before = contents(texts)
        bad: list[tuple[type[VectorKitError], str, dict[str, Any]]] = [
            (RecordNotFoundError, "missing", {}),
            (RecordNotFoundError, "missing", {"metadatas": [{"v": 9}, {"v": 9}]}),
            (RecordNotFoundError, "missing", {"metadatas": [{"v": 9}, {"v": 9}], "merge": True}),
            (InvalidMetadataError, "full", {"metadatas": [{"v": 9}, {"v": 9}], "merge": True}),
        ]
        for error, id, given in bad:
            for ids in (["a", id], [id, "a"]):
                for documents in (["new", None], [None, "new"]):
                    assert_refused(error, texts.update, ids=ids, documents=documents, **given)
                    assert contents(texts) == before, (ids, documents, given)

    def test_a_bad_update_writes_nothing(self, plane: Collection) -> None:
        """3.4 Wrong columns, a merge beyond the limits of 2.5, or a document that nothing can embed."""
        plane.add(
            ids=["a", "b"],
            embeddings=[[1, 0], [2, 0]],
            documents=["x", "y"],
            metadatas=[{"v": 1}, {f"k{at}": at for at in range(256)}],
        )
        before = contents(plane)
        bad: list[tuple[type[VectorKitError], dict[str, Any]]] = [
            (InvalidArgumentError, {"ids": ["a"]}),
            (InvalidArgumentError, {"metadatas": [{}]}),
            (InvalidArgumentError, {"ids": ["a"], "metadatas": [{}, {}]}),
            (InvalidArgumentError, {"ids": ["a"], "metadatas": [{}], "merge": 1}),
            (InvalidArgumentError, {"ids": ["a"], "metadatas": [{}], "records": [Record("a")]}),
            (DuplicateIdError, {"ids": ["a", "a"], "metadatas": [{}, {}]}),
            (InvalidVectorError, {"ids": ["a", "b"], "embeddings": [[5, 5], [1, 2, 3]]}),
            (InvalidVectorError, {"ids": ["a"], "documents": ["z"]}),
            (InvalidVectorError, {"ids": ["a"], "documents": ["z"], "embeddings": [None]}),
            (InvalidMetadataError, {"ids": ["a", "b"], "metadatas": [{"v": 2}, {"$v": 2}]}),
            (InvalidMetadataError, {"ids": ["a", "b"], "metadatas": [{"v": 2}, {"one more": 1}], "merge": True}),
        ]
        for error, given in bad:
            assert_refused(error, plane.update, **given)
        assert contents(plane) == before
        plane.update(ids=["b"], metadatas=[{"k0": "set"}], merge=True)
        assert len(plane.get(["b"])[0].metadata) == 256

    def test_an_update_by_records_gives_every_column(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.4 Document, embedding and metadata of each record are all set, and the order of records does not count."""
        texts.add(ids=["a", "b"], documents=["alpha", "beta"], metadatas=[{"v": 1}, {"v": 2}])
        texts.update(records=[Record("b", None, [1] * 8), Record("a", "gamma", None, {"w": 1})])
        _assert_row(texts, "a", "gamma", {"w": 1}, embedder.embed_query("gamma"))
        _assert_row(texts, "b", None, {}, [1] * 8)

    def test_a_searched_vector_is_the_updated_one(self, plane: Collection) -> None:
        """3.4 The old vector finds nothing any more, with and without an index."""
        plane.add(ids=[f"{at:03}" for at in range(300)], embeddings=[[at, 0] for at in range(300)])
        plane.update(ids=["005"], embeddings=[[-50, 0]])
        plane.update(ids=["200"], embeddings=[[-60, 0]])
        for exact in (None, True):
            assert ids_of(plane.search([5, 0], k=3, exact=exact)) == ["004", "006", "003"]
            assert ids_of(plane.search([-100, 0], k=3, exact=exact)) == ["200", "005", "000"]
        for hit in (*plane.search([5, 0], k=5, exact=False), *plane.search([200, 0], k=5, exact=False)):
            assert hit.id not in ("005", "200")


def _assert_row(
    collection: Collection, id: str, document: str | None, metadata: Metadata, vector: Sequence[float] | FloatArray
) -> None:
    (record,) = collection.get([id], include_embeddings=True)
    assert (record.document, typed(record.metadata)) == (document, typed(metadata))
    assert_embedding(record.embedding, vector)
