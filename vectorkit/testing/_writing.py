"""Section 3 of the contract, but for `update`: adding, replacing and deleting records."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.errors import DuplicateIdError, InvalidArgumentError, InvalidMetadataError, InvalidVectorError
from vectorkit.filters import F
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_embedding, assert_refused, contents, ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.types import Record

__all__ = ["WritingRules"]


class _SourceError(Exception):
    """What a caller's own iterable may raise."""


def _records(count: int, *, start: int = 0) -> Iterator[Record]:
    return (Record(f"{at:05}", f"text {at}", [at, 1], {"at": at}) for at in range(start, start + count))


class WritingRules(Fixtures):
    """Rules 3.1 to 3.3 and 3.5 to 3.8."""

    def test_one_bad_record_of_many_writes_none(self, plane: Collection) -> None:
        """3.1 Lists are checked whole before anything is sent."""
        plane.add(records=list(_records(3)))
        before = contents(plane)
        no_json: Any = {"v": object()}
        bad: list[tuple[type[InvalidArgumentError], Record]] = [
            (InvalidVectorError, Record("99999", embedding=[1, 2, 3])),
            (InvalidVectorError, Record("99999", embedding=[1, np.nan])),
            (InvalidMetadataError, Record("99999", embedding=[1, 2], metadata=no_json)),
        ]
        for error, last in bad:
            records = [*_records(1200, start=2), last]
            assert_refused(error, plane.upsert, records=records)
            assert_refused(error, plane.add, records=records[1:])
            assert_refused(error, plane.update, records=[records[0], records[-1]])
        assert contents(plane) == before

    @pytest.mark.parametrize("method", ["add", "upsert"])
    def test_a_stream_that_turns_out_bad_half_way_writes_nothing(
        self, store: VectorStore, plane: Collection, method: str
    ) -> None:
        """3.1 An iterable is checked as it streams; if it breaks, what was there before is there, and no more."""
        plane.add(records=list(_records(3)))
        before = contents(plane)
        write = getattr(plane, method)
        start = 3 if method == "add" else 0

        def broken(last: Any) -> Iterator[Record]:
            yield from _records(1100, start=start)
            if isinstance(last, Exception):
                raise last
            yield last

        assert_refused(InvalidVectorError, write, records=broken(Record("z", embedding=[1, 2, 3])))
        assert_refused(InvalidArgumentError, write, records=broken({"id": "z"}))
        assert_refused(DuplicateIdError, write, records=broken(Record(f"{start:05}", embedding=[1, 2])))
        with pytest.raises(_SourceError, match="the disk is gone"):
            write(records=broken(_SourceError("the disk is gone")))
        atomic = store.backend.capabilities.atomic_writes
        assert contents(plane) == before, f"capabilities.atomic_writes is {atomic}, and half of a stream was written"

    def test_a_stream_is_written_whole(self, plane: Collection) -> None:
        """3.1 An iterable of records of any length; its ids are returned in order."""
        assert plane.upsert(records=_records(1500)) == [f"{at:05}" for at in range(1500)]
        assert plane.count() == 1500
        (record,) = plane.get(["01499"], include_embeddings=True)
        assert (record.document, record.metadata) == ("text 1499", {"at": 1499})
        assert_embedding(record.embedding, [1499, 1])
        assert plane.count({"at": {"$gte": 1000, "$lt": 1010}}) == 10

    def test_add_refuses_ids_that_are_stored(self, plane: Collection) -> None:
        """3.2 It names them, at most ten, and writes nothing, neither the old nor the new ones."""
        plane.add(records=list(_records(15)))
        before = contents(plane)
        message = assert_refused(
            DuplicateIdError, plane.add, ids=["new", "00003"], embeddings=[[1, 2], [3, 4]], documents=["x", "y"]
        )
        assert "'00003'" in message
        assert "'new'" not in message
        message = assert_refused(DuplicateIdError, plane.add, records=list(_records(30)))
        assert sum(f"'{at:05}'" in message for at in range(30)) == 10
        assert_refused(DuplicateIdError, plane.add, records=_records(1500, start=14))
        assert contents(plane) == before

    def test_add_takes_ids_that_were_deleted(self, plane: Collection) -> None:
        """3.2 A deleted record leaves nothing behind."""
        plane.add(ids=["a"], embeddings=[[1, 2]], documents=["x"], metadatas=[{"v": 1}])
        plane.delete(["a"])
        plane.add(ids=["a"], embeddings=[[3, 4]])
        (record,) = plane.get(include_embeddings=True)
        assert (record.document, record.metadata) == (None, {})
        assert_embedding(record.embedding, [3, 4])

    def test_upsert_forgets_what_it_is_not_given(self, plane: Collection) -> None:
        """3.3 The record is replaced whole: document, metadata keys and vector of before are gone, in filters too."""
        plane.add(
            ids=["a", "b", "c"],
            embeddings=[[1, 0], [2, 0], [3, 0]],
            documents=["old a", "old b", "old c"],
            metadatas=[{"old": 1, "both": 1}, {"old": 1, "both": 1}, {"old": 1}],
        )
        assert plane.upsert(ids=["a", "d"], embeddings=[[7, 0], [8, 0]], metadatas=[{"both": 2}, {"new": 1}]) == [
            "a",
            "d",
        ]
        plane.upsert(ids=["b"], embeddings=[[9, 0]], documents=["new b"])
        found = {record.id: (record.document, record.metadata) for record in plane.get()}
        assert found == {
            "a": (None, {"both": 2}),
            "b": ("new b", {}),
            "c": ("old c", {"old": 1}),
            "d": (None, {"new": 1}),
        }
        assert ids_of(plane.get(where={"old": {"$exists": True}})) == ["c"]
        assert ids_of(plane.get(where={"both": 1})) == []
        assert ids_of(plane.get(where_document={"$contains": "old"})) == ["c"]
        assert ids_of(plane.search([0, 0])) == ["c", "a", "d", "b"]

    def test_an_upsert_of_no_metadata_forgets_too(self, plane: Collection) -> None:
        """3.3 None and `{}` replace as any metadata does, and so does a None document."""
        plane.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], documents=["x", "x"], metadatas=[{"v": 1}, {"v": 1}])
        plane.upsert(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], documents=[None, None], metadatas=[None, {}])
        assert [(record.document, record.metadata) for record in plane.get()] == [(None, {}), (None, {})]
        assert plane.count({"v": {"$exists": True}}) == plane.count(where_document={"$contains": "x"}) == 0

    def test_delete_ignores_ids_that_are_missing(self, plane: Collection) -> None:
        """3.5 What is returned is the number of records deleted, not of ids given."""
        plane.add(records=list(_records(5)))
        assert plane.delete(["00001", "missing", "00003", "x" * 512]) == 2
        assert plane.delete(["00001", "00003"]) == 0
        assert ids_of(plane.get()) == ["00000", "00002", "00004"]
        assert ids_of(plane.search([0, 0])) == ["00000", "00002", "00004"]

    def test_delete_by_filter_deletes_what_get_returns(self, plane: Collection) -> None:
        """3.5 Exactly that, for positive and negative filters, on keys that are missing and on documents."""
        records = [
            Record("a", "one", [1, 0], {"v": 1}),
            Record("b", "two", [2, 0], {"v": 2}),
            Record("c", None, [3, 0], {"v": None}),
            Record("d", "", [4, 0], {"v": "1"}),
            Record("e", "one two", [5, 0], {}),
            Record("f", "three", [6, 0], {"v": [1]}),
        ]
        filters: list[dict[str, Any]] = [
            *({"where": {"v": 1}}, {"where": {"v": {"$ne": 1}}}, {"where": {"v": {"$exists": False}}}),
            *({"where": {"v": {"$in": []}}}, {"where": {"v": {"$nin": []}}}, {"where": {"v": None}}),
            {"where": F("v") > 1},
            *({"where_document": {"$contains": "two"}}, {"where_document": {"$not_contains": "o"}}),
            {"where": {"v": {"$not_contains": 1}}, "where_document": {"$contains": "t"}},
            {"ids": ["a", "b", "e", "x"], "where": {"v": {"$gte": 2}}},
            {"ids": ["a", "e"], "where_document": {"$contains": "two"}},
        ]
        for where in filters:
            plane.upsert(records=records)
            chosen = ids_of(plane.get(**where))
            assert plane.delete(**where) == len(chosen), where
            assert ids_of(plane.get()) == [id for id in "abcdef" if id not in chosen], where

    def test_delete_of_nothing_is_refused(self, plane: Collection) -> None:
        """3.5 Without arguments, or with an empty filter alone, it raises; an empty list of ids deletes nothing."""
        plane.add(records=list(_records(3)))
        assert_refused(InvalidArgumentError, plane.delete)
        assert_refused(InvalidArgumentError, plane.delete, where={})
        assert_refused(InvalidArgumentError, plane.delete, where_document={})
        assert_refused(InvalidArgumentError, plane.delete, where={}, where_document={})
        assert plane.delete([]) == 0
        assert plane.delete([], where={"at": 1}) == 0
        assert plane.count() == 3
        assert plane.delete(["00001"], where={}) == 1
        assert plane.delete(where={"$and": []}) == 2
        assert plane.count() == 0

    def test_empty_input_is_no_error(self, plane: Collection) -> None:
        """3.6 Writing, changing or reading nothing does nothing and returns empty."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        before = contents(plane)
        assert plane.add(ids=[], embeddings=[]) == plane.add(ids=[]) == plane.add(records=[]) == []
        assert plane.add(embeddings=np.empty((0, 2))) == plane.add(documents=[]) == plane.add(records=iter([])) == []
        assert plane.upsert(ids=[], documents=[], embeddings=[], metadatas=[]) == plane.upsert(records=[]) == []
        plane.update(ids=[], metadatas=[])
        plane.update(ids=[], documents=[], embeddings=np.empty((0, 2)), metadatas=[], merge=True)
        plane.update(records=[])
        plane.update(ids=[])
        assert plane.get([]) == plane.get(limit=0) == []
        assert plane.search([1, 2], k=0) == []
        assert plane.search_many([]) == []
        assert plane.search_many([[1, 2], [3, 4]], k=0) == [[], []]
        assert contents(plane) == before

    def test_an_empty_collection_reads_as_empty(self, plane: Collection) -> None:
        """3.6 Every way of reading returns nothing."""
        assert (plane.get(), list(plane.scan()), plane.count(), plane.search([1, 2])) == ([], [], 0, [])
        assert (plane.get(["a"]), plane.count({"v": {"$ne": 1}}), plane.delete(["a"])) == ([], 0, 0)
        assert plane.search_many([[1, 2], [3, 4]], where={"v": 1}, exact=True) == [[], []]

    def test_any_number_of_records_is_taken_at_once(self, plane: Collection) -> None:
        """3.7 Written, replaced and deleted in one call each, beyond the batches of any client."""
        ids = [f"{at:05}" for at in range(6000)]
        vectors = np.stack([np.arange(6000), np.ones(6000)], axis=1)
        assert plane.add(ids=ids, embeddings=vectors) == ids
        assert plane.count() == 6000
        assert ids_of(plane.get()) == ids
        assert plane.delete(ids[10:]) == 5990
        assert ids_of(plane.search([9, 1], k=20)) == [f"{at:05}" for at in range(9, -1, -1)]

    def test_columns_and_records_of_unequal_length_are_refused(self, plane: Collection) -> None:
        """3.1 Columns that do not fit together write nothing, nor do columns beside records."""
        bad: list[dict[str, Any]] = [
            {"ids": ["a", "b"], "embeddings": [[1, 2]]},
            {"ids": ["a"], "embeddings": [[1, 2], [3, 4]]},
            {"ids": ["a"], "embeddings": np.ones((2, 2))},
            {"ids": ["a"], "embeddings": [[1, 2]], "documents": []},
            {"ids": ["a"], "embeddings": [[1, 2]], "metadatas": [{}, {}]},
            {"embeddings": [[1, 2]], "documents": ["x", "y"]},
            {"ids": ["a"], "embeddings": [[1, 2]], "records": []},
            {"metadatas": [{}], "records": [Record("a", embedding=[1, 2])]},
            {},
        ]
        for columns in bad:
            assert_refused(InvalidArgumentError, plane.add, **columns)
            assert_refused(InvalidArgumentError, plane.upsert, **columns)
        assert plane.count() == 0

    def test_a_write_is_visible_to_the_next_call(self, store: VectorStore, plane: Collection) -> None:
        """3.8 Every kind of write, to every way of reading, through this handle and another one."""
        other = store.get_collection("plane")

        def seen() -> list[object]:
            return [
                [
                    ids_of(each.get()),
                    ids_of(each.scan()),
                    each.count(),
                    ids_of(each.search([0, 0])),
                    ids_of(each.search([0, 0], where={"v": 1}, exact=False)),
                ]
                for each in (plane, other)
            ]

        plane.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], metadatas=[{"v": 1}, {}])
        assert seen() == [[["a", "b"], ["a", "b"], 2, ["a", "b"], ["a"]]] * 2
        plane.upsert(ids=["a", "c"], embeddings=[[3, 0], [0, 0]], metadatas=[{"v": 2}, {"v": 1}])
        assert seen() == [[["a", "b", "c"], ["a", "b", "c"], 3, ["c", "b", "a"], ["c"]]] * 2
        other.update(ids=["b"], embeddings=[[9, 0]], metadatas=[{"v": 1}])
        assert seen() == [[["a", "b", "c"], ["a", "b", "c"], 3, ["c", "a", "b"], ["c", "b"]]] * 2
        plane.delete(["c"])
        assert seen() == [[["a", "b"], ["a", "b"], 2, ["a", "b"], ["b"]]] * 2
