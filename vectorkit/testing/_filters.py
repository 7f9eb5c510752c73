"""Section 5 of the contract: the filter language, table by table."""

import json
from typing import Any

import numpy as np

from vectorkit.filters import F, Filter
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._logic_cases import DOCUMENTS, LOGIC
from vectorkit.testing._tables import Case, Table
from vectorkit.testing._text_cases import KEYS, PAYLOADS, STRINGS
from vectorkit.testing._value_cases import LISTS, NUMBERS, TYPES

__all__ = ["FilterRules"]

_SHOWN = 20


class FilterRules(Fixtures):
    """Rules 5.1 to 5.9, 5.11 and 5.12."""

    def test_filters_combine(self, store: VectorStore) -> None:
        """5.1 Several keys and operators are ANDed; `$and`, `$or`, `$not` combine; `{}` matches everything."""
        _assert_table(store, LOGIC)

    def test_a_filter_and_its_complement_share_no_record_and_miss_none(self, store: VectorStore) -> None:
        """5.2 `$not` over every filter on every type of value matches exactly what the filter does not."""
        for table in (TYPES, LOGIC, LISTS):
            cases = [Case({"$not": case.where}, _complement(case.ids)) for case in table.cases]
            _assert_table(store, Table(table.metadatas, cases), only_search=True)

    def test_values_are_compared_with_their_types(self, store: VectorStore) -> None:
        """5.4 Every operator on every type of value, on None and on no value at all (5.3 to 5.8)."""
        _assert_table(store, TYPES)

    def test_no_value_is_no_value(self, store: VectorStore) -> None:
        """5.3 An absent key and a None are told apart by `$exists` alone."""
        docs = store.create_collection("docs", dimension=2)
        docs.add(ids=["absent", "null", "value"], embeddings=[[1, 1]] * 3, metadatas=[{}, {"v": None}, {"v": 0}])
        operands: list[Any] = [None, 0, 1, 0.5, "", "a", True, False]
        for operand in operands:
            for op in ("$eq", "$ne", "$contains", "$not_contains", "$gt", "$gte", "$lt", "$lte"):
                if op[1] in "gl" and (operand is None or isinstance(operand, bool)):
                    continue
                found = ids_of(docs.get(where={"v": {op: operand}}))
                assert ("absent" in found) == ("null" in found), (op, operand)
            for op in ("$in", "$nin"):
                found = ids_of(docs.get(where={"v": {op: [operand, 77]}}))
                assert ("absent" in found) == ("null" in found), (op, operand)
        assert ids_of(docs.get(where={"v": {"$exists": True}})) == ["null", "value"]
        assert ids_of(docs.get(where={"v": {"$exists": False}})) == ["absent"]

    def test_numbers_are_compared_as_the_numbers_they_are(self, store: VectorStore) -> None:
        """5.4 Integers with floats, exactly, past 2**53, at the ends of 64 bits and beyond (5.5, 5.10)."""
        _assert_table(store, NUMBERS)

    def test_strings_are_ordered_by_code_point(self, store: VectorStore) -> None:
        """5.5 Upper before lower case, `ß` after `z`, astral characters last; dates in ISO form order."""
        _assert_table(store, STRINGS)

    def test_sets_and_complements(self, store: VectorStore) -> None:
        """5.6 `$in` is OR of `$eq`, `$ne` and `$nin` are complements, on a key most records lack."""
        docs = store.create_collection("docs", dimension=2)
        docs.add(
            ids=list("abcde"),
            embeddings=[[1, 1]] * 5,
            metadatas=[{"v": 1}, {"v": "x"}, {"v": None}, {"w": 1}, {}],
        )
        for values, found in (([], ""), ([1], "a"), (["x", 1.0], "ab"), ([None], "cde"), ([None, "x"], "bcde")):
            assert ids_of(docs.get(where={"v": {"$in": values}})) == list(found), values
            assert ids_of(docs.get(where={"v": {"$nin": values}})) == [id for id in "abcde" if id not in found], values
            assert ids_of(docs.get(where={"$or": [{"v": value} for value in values]})) == list(found), values

    def test_exists_asks_for_the_key(self, store: VectorStore) -> None:
        """5.7 Whatever its value: None, an empty list, a dict, an empty string, False."""
        values: list[Any] = [None, [], {}, "", False, 0, [None], [[]], {"a": None}]
        docs = store.create_collection("docs", dimension=2)
        docs.add(
            ids=[f"{at}" for at in range(len(values) + 1)],
            embeddings=[[1, 1]] * (len(values) + 1),
            metadatas=[*({"v": value} for value in values), {"V": 1, "v.": 1}],
        )
        assert docs.count({"v": {"$exists": True}}) == len(values)
        assert ids_of(docs.get(where={"v": {"$exists": False}})) == [f"{len(values)}"]

    def test_elements_of_lists_are_found(self, store: VectorStore) -> None:
        """5.8 By the equality of 5.4, in lists alone; lists and dicts match no other positive operator."""
        _assert_table(store, LISTS)

    def test_keys_are_whole(self, store: VectorStore) -> None:
        """5.9 A dot is a dot, case counts, and no character of a key means anything."""
        _assert_table(store, KEYS)

    def test_documents_are_searched_for_substrings(self, store: VectorStore) -> None:
        """5.11 By code point, case-sensitive, no character special; a missing document matches the complement."""
        _assert_table(store, DOCUMENTS)

    def test_payloads_are_data(self, store: VectorStore) -> None:
        """5.12 As values, elements, keys and parts of documents: SQL, operators, JSON paths, format signs."""
        _assert_table(store, PAYLOADS)

    def test_the_builder_makes_the_same_filter(self, store: VectorStore) -> None:
        """5.1 Every method and operator of `F` against its dict, alone, combined, and inside dicts."""
        docs = store.create_collection("docs", dimension=2)
        values: list[Any] = [None, True, 0, 1, 1.5, "", "a", "b", [1, "a", None], {}]
        docs.add(
            ids=[f"{at}" for at in range(len(values))],
            embeddings=[[1, 1]] * len(values),
            metadatas=[*({"v": value, "even": at % 2} for at, value in enumerate(values[:-1])), {}],
        )
        v = F("v")
        pairs: list[tuple[Filter, dict[str, Any]]] = [
            *((v == 1, {"v": 1}), (v != "a", {"v": {"$ne": "a"}}), (v.in_([None]), {"v": None})),
            (v == True, {"v": True}),  # noqa: E712
            *((v > 0, {"v": {"$gt": 0}}), (v >= 1.5, {"v": {"$gte": 1.5}}), (v < "b", {"v": {"$lt": "b"}})),
            *((v <= "a", {"v": {"$lte": "a"}}), (v.in_([1, "a"]), {"v": {"$in": [1, "a"]}})),
            (v.in_([]), {"v": {"$in": []}}),
            *((v.not_in([None, 0]), {"v": {"$nin": [None, 0]}}), (v.exists(), {"v": {"$exists": True}})),
            *((v.exists(False), {"v": {"$exists": False}}), (v.contains("a"), {"v": {"$contains": "a"}})),
            *((v.not_contains(None), {"v": {"$not_contains": None}}), (~(v == 1), {"$not": {"v": 1}})),
            ((v == 1) & (F("even") == 1), {"v": 1, "even": 1}),
            ((v == 1) | (v == "a") | (v == "b"), {"v": {"$in": [1, "a", "b"]}}),
            (~((v == 1) | ~(F("even") == 1)), {"v": {"$ne": 1}, "even": 1}),
        ]
        for built, written in pairs:
            expected = ids_of(docs.get(where=written))
            assert ids_of(docs.get(where=built)) == expected, written
            assert docs.count(built) == len(expected), written
            assert ids_of(docs.search([1, 1], where=built)) == expected, written
            assert ids_of(docs.get(where={"$and": [built, {"even": 1}]})) == ids_of(
                docs.get(where={**written, "even": 1})
            )

    def test_a_filter_decides_before_the_cut(self, store: VectorStore) -> None:
        """5.10 Of 300 records the one that matches is the farthest, and it is found, whatever k is."""
        docs = store.create_collection("docs", dimension=2, metric="l2")
        docs.add(
            ids=[f"{at:03}" for at in range(300)],
            embeddings=[[at, 0] for at in range(300)],
            documents=["last" if at == 299 else "other" for at in range(300)],
            metadatas=[{"last": at == 299} for at in range(300)],
        )
        for k in (1, 2, 10, 299):
            for exact in (None, True, False):
                assert ids_of(docs.search([0, 0], k, where={"last": True}, exact=exact)) == ["299"]
                assert ids_of(docs.search([0, 0], k, where_document={"$contains": "last"}, exact=exact)) == ["299"]


def _complement(ids: str) -> str:
    return ids[1:] if ids.startswith("!") else f"!{ids}"


def _assert_table(store: VectorStore, table: Table, *, only_search: bool = False) -> None:
    """Every case of the table, by `get`, `count` and `search`; all that go wrong are named.

    In a search the records that do not match are the nearest, and `k` is the number that do: a store that filters
    after its cut, or weakens a filter, cannot return the right ones. Records lie on axes of their own; the query
    points along those of records that do not match, and away from the others.
    """
    ids = sorted(table.metadatas)
    docs = store.create_collection("table", dimension=len(ids), metric="cosine")
    docs.add(
        ids=ids,
        embeddings=np.eye(len(ids)),
        documents=[table.documents.get(id) for id in ids],
        metadatas=[table.metadatas[id] for id in ids],
    )
    wrong: list[str] = []
    for case in table.cases:
        expected = table.matching(case)
        filters: dict[str, Any] = {"where": case.where, "where_document": case.where_document}
        answers: list[tuple[str, object, object]] = []
        if not only_search:
            answers.append(("get", ids_of(docs.get(**filters)), expected))
            answers.append(("count", docs.count(**filters), len(expected)))
        query = [-1.0 if id in expected else 1.0 for id in ids]
        answers.append(("search", ids_of(docs.search(query, len(expected) or 1, **filters)), expected))
        wrong += [_described(way, case, found, wanted) for way, found, wanted in answers if found != wanted]
    store.drop_collection("table")
    assert not wrong, f"{len(wrong)} answers are wrong:\n" + "\n".join(wrong[:_SHOWN])


def _described(way: str, case: Case, answer: object, wanted: object) -> str:
    filters = [each for each in (case.where, case.where_document) if each is not None]
    shown = " with ".join(json.dumps(each, ensure_ascii=False, default=str) for each in filters)
    return f"  {way} {shown[:200]}\n    found {str(answer)[:300]}\n    not   {str(wanted)[:300]}"
