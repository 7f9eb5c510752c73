"""Section 4 of the contract: getting, counting and scanning records."""

from typing import Any

import numpy as np
import pytest

from vectorkit.backend.requests import Scan
from vectorkit.collection import Collection
from vectorkit.errors import CollectionNotFoundError, InvalidArgumentError, InvalidFilterError
from vectorkit.searching import as_filter
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, ids_of
from vectorkit.testing._fixtures import Fixtures

__all__ = ["ReadingRules"]

_IDS = ["10", "9", "B", "a", "a ", "b", "e\u0301", "é", "\uff5e", "\U00010000"]
"""In ascending order by code point, which is not the order of UTF-16, of a locale, nor of numbers."""

_FILTERS: list[dict[str, Any]] = [
    *({}, {"where": {"even": True}}, {"where": {"even": {"$ne": True}}}, {"where": {"at": {"$gte": 3}}}),
    *({"where": {"none": None}}, {"where": {"none": {"$exists": True}}}, {"where": {"at": {"$in": []}}}, {"where": {}}),
    *({"where_document": {"$contains": "3"}}, {"where_document": {"$not_contains": "text"}}, {"where_document": {}}),
    {"where": {"$not": {"even": True}}, "where_document": {"$or": [{"$contains": "1"}, {"$contains": "7"}]}},
    {"where": {"even": True}, "where_document": {"$not": {"$contains": "4"}}},
]


class ReadingRules(Fixtures):
    """Rules 4.1 to 4.3."""

    @pytest.fixture
    def ten(self, plane: Collection) -> Collection:
        """Ten records whose ids are in no order as they are written; `at` is the place in ascending order."""
        order = [3, 7, 0, 9, 1, 8, 2, 6, 4, 5]
        plane.add(
            ids=[_IDS[at] for at in order],
            embeddings=[[at, 0] for at in order],
            documents=[f"text {at}" if at != 5 else None for at in order],
            metadatas=[{"at": at, "even": at % 2 == 0} for at in order],
        )
        return plane

    def test_get_by_ids_keeps_the_order_asked(self, ten: Collection) -> None:
        """4.1 Missing ones are left out; with a filter too, those of them that match come."""
        asked = [_IDS[at] for at in (7, 2, 9, 0, 4)]
        assert ids_of(ten.get(asked)) == asked
        assert ids_of(ten.get(["x", *asked[:2], "y", *asked[2:], "A"])) == asked
        assert ids_of(ten.get(asked, where={"even": True})) == [_IDS[at] for at in (2, 0, 4)]
        assert ids_of(ten.get(asked, where={"at": {"$lt": 0}})) == []
        assert ids_of(ten.get(asked, where_document={"$contains": "text"}, where={"even": False})) == [_IDS[7], _IDS[9]]
        assert ids_of(ten.get(["x", "y"])) == []

    def test_get_without_ids_is_in_ascending_order_of_id(self, ten: Collection) -> None:
        """4.1 By code point, for every filter."""
        assert sorted(_IDS) == _IDS
        assert ids_of(ten.get()) == _IDS
        assert ids_of(ten.get(where={"even": True})) == _IDS[::2]
        assert ids_of(ten.get(where={"even": {"$ne": True}})) == _IDS[1::2]
        assert ids_of(ten.get(where_document={"$contains": "text"})) == [id for id in _IDS if id != _IDS[5]]

    def test_limit_and_offset_cut_the_order(self, ten: Collection) -> None:
        """4.1 Of all records, of those that match, and of the ids asked for, whatever the size of the numbers."""
        numbers = [0, 1, 3, 10, 11, 10**30]
        asked = _IDS[::-1]
        for offset in numbers:
            for limit in (None, *numbers):
                end = None if limit is None else offset + limit
                for found, everything in (
                    (ten.get(limit=limit, offset=offset), _IDS),
                    (ten.get(where={"even": True}, limit=limit, offset=offset), _IDS[::2]),
                    (ten.get(asked, limit=limit, offset=offset), asked),
                    (ten.get(asked, where={"even": True}, limit=limit, offset=offset), _IDS[::2][::-1]),
                ):
                    assert ids_of(found) == everything[offset:end], f"limit={limit}, offset={offset}"

    def test_bad_numbers_are_refused(self, ten: Collection) -> None:
        """4.1 `limit` and `offset` are ints >= 0, `batch_size` is one >= 1."""
        bad: list[Any] = [-1, 1.0, 1.5, "1", True, [1], np.float64(1), -(10**30)]
        for number in bad:
            assert_refused(InvalidArgumentError, ten.get, limit=number)
            assert_refused(InvalidArgumentError, ten.get, offset=number)
            assert_refused(InvalidArgumentError, ten.scan, batch_size=number)
        assert_refused(InvalidArgumentError, ten.scan, batch_size=0)
        offset: Any = None
        assert_refused(InvalidArgumentError, ten.get, offset=offset)
        two: Any = np.int64(2)
        assert ids_of(ten.get(limit=two, offset=two)) == _IDS[2:4]

    def test_a_record_is_read_whole(self, ten: Collection) -> None:
        """4.1 Id, document, metadata and, if asked for, embedding, by ids, by filter and in a scan."""
        for found in (ten.get([_IDS[5], _IDS[3]]), ten.get()[5:2:-2], list(ten.scan())[5:2:-2]):
            five, three = found
            assert (five.id, five.document, five.metadata) == (_IDS[5], None, {"at": 5, "even": False})
            assert (three.id, three.document, three.metadata) == (_IDS[3], "text 3", {"at": 3, "even": False})
            assert five.embedding is None
            assert three.embedding is None

    def test_count_is_the_number_of_records_that_get_returns(self, ten: Collection) -> None:
        """4.2 For every filter."""
        for given in _FILTERS:
            assert ten.count(**given) == len(ten.get(**given)), given
        assert ten.count() == 10

    def test_scan_reads_what_get_reads(self, ten: Collection) -> None:
        """4.3 The same records in the same order, for every filter and batch size, with vectors and without."""
        for given in _FILTERS:
            for include in (False, True):
                expected = ten.get(**given, include_embeddings=include)
                for batch_size in (1, 3, 10, 11, 10**30):
                    scanned = list(ten.scan(**given, batch_size=batch_size, include_embeddings=include))
                    assert scanned == expected, (given, batch_size, include)
                    assert all((record.embedding is not None) is include for record in scanned)

    def test_a_scan_begins_after_any_id(self, store: VectorStore, ten: Collection) -> None:
        """4.3 After one that is there or not, for every filter: what a copy that was stopped goes on with."""
        for given in _FILTERS:
            expected = ten.get(**given, include_embeddings=True)
            for after in ("", *_IDS, _IDS[0] + "!", "\U0010ffff"):
                where = as_filter(given.get("where"), given.get("where_document"))
                pages = store.backend.scan(ten.info(), Scan(where, after, batch_size=3, include_embeddings=True))
                found = [record for page in pages for record in page]
                assert found == [record for record in expected if record.id > after], (given, after)

    def test_a_scan_sees_nothing_twice_while_records_are_written(self, plane: Collection) -> None:
        """4.3 Whatever is added, replaced and deleted meanwhile; what is not touched is seen, once, in order."""
        plane.add(ids=[f"{at:03}" for at in range(100)], embeddings=[[at, 0] for at in range(100)])
        seen: list[str] = []
        gone: set[str] = set()
        for step, record in enumerate(plane.scan(batch_size=7)):
            seen.append(record.id)
            if step % 10 == 5:
                plane.add(ids=[f"{step - 1:03}x", f"{step + 20:03}x"], embeddings=[[1, 1], [1, 1]])
                plane.upsert(ids=[f"{step // 2:03}", f"{step + 3:03}"], embeddings=[[2, 2], [2, 2]])
                deleted = [f"{step - 4:03}", f"{step + 4:03}"]
                plane.delete(deleted)
                gone.update(deleted)
        assert seen == sorted(set(seen))
        kept = [f"{at:03}" for at in range(100) if f"{at:03}" not in gone]
        assert [id for id in seen if id in kept] == kept
        assert plane.get(sorted(gone)) == []

    def test_a_scan_in_progress_and_other_calls_do_not_disturb_each_other(self, plane: Collection) -> None:
        """4.3 Two scans interleave, a scan may be left half-way, and everything else works in between."""
        plane.add(ids=list("abcdef"), embeddings=[[at, 0] for at in range(6)])
        one, two = plane.scan(batch_size=2), plane.scan(batch_size=3)
        assert [next(one).id, next(two).id, next(one).id, next(one).id, next(two).id] == ["a", "a", "b", "c", "b"]
        left = plane.scan(batch_size=1)
        assert next(left).id == "a"
        del left
        assert (plane.count(), ids_of(plane.search([0, 0], k=2))) == (6, ["a", "b"])
        assert (ids_of(one), ids_of(two)) == (["d", "e", "f"], ["c", "d", "e", "f"])

    def test_a_scan_of_a_dropped_collection_raises(self, store: VectorStore, plane: Collection) -> None:
        """1.6 When its first record is asked for; a filter that is malformed raises at once."""
        assert_refused(InvalidFilterError, plane.scan, {"v": {"$bad": 1}})
        plane.add(ids=["a"], embeddings=[[1, 2]])
        store.drop_collection("plane")
        assert_refused(CollectionNotFoundError, lambda: next(plane.scan()))

    def test_tens_of_thousands_of_ids_can_be_asked_for(self, plane: Collection) -> None:
        """4.1 30,000 ids in one call, of which 100 are stored; also with a filter, and to delete."""
        stored = [f"{at:05}" for at in range(0, 30_000, 300)]
        plane.add(
            ids=stored,
            embeddings=[[1, at] for at in range(100)],
            metadatas=[{"even": at % 2 == 0} for at in range(100)],
        )
        asked = [f"{at:05}" for at in range(29_999, -1, -1)]
        assert ids_of(plane.get(asked)) == stored[::-1]
        assert ids_of(plane.get(asked, where={"even": True})) == stored[::2][::-1]
        assert ids_of(plane.get(asked, limit=5, offset=2)) == stored[::-1][2:7]
        assert plane.delete(asked[:15_000]) == 50
        assert plane.delete(asked, where={"even": True}) == 25
        assert plane.count() == 25
