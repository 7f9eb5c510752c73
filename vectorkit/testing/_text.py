"""Rules 7.2 and 7.4 of the contract: text search ranks by BM25, and filters change no weight."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vectorkit.errors import (
    InvalidArgumentError,
    InvalidFilterError,
    VectorKitError,
)
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._words import DOCUMENTS, bm25, indexed, ranked, write

__all__ = ["TextRules"]


class TextRules(Fixtures):
    """Rules 7.2 and 7.4."""

    def test_a_score_is_bm25(self, store: VectorStore) -> None:
        """7.2 Worked out by hand: `""` is a document of no words, `None` is none."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        write(docs, {"a": "red apple", "b": "Red red pear tree!", "c": "green", "d": None, "e": ""})
        # N = 4 and df = 2: idf = ln(1 + 2.5 / 2.5); then 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 128)) and so on.
        first = math.log(2) * 4.4 / (2 + 1.2 * (0.25 + 0.75 * 4 / 128))
        second = math.log(2) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 128))
        assert (first, second) == pytest.approx((1.3100017, 1.1604652), abs=1e-6)
        hits = docs.search("red", mode="text")
        assert ids_of(hits) == ["b", "a"]
        assert [hit.score for hit in hits] == pytest.approx([first, second], abs=1e-6)
        assert [hit.distance for hit in hits] == [None, None]
        assert [hit.document for hit in hits] == ["Red red pear tree!", "red apple"]
        green = math.log(1 + 3.5 / 1.5) * 2.2 / (1 + 1.2 * (0.25 + 0.75 / 128))
        several = docs.search("green red", mode="text")
        assert ids_of(several) == ["c", "b", "a"]
        assert [hit.score for hit in several] == pytest.approx([green, first, second], abs=1e-6)

    def test_words_of_a_query_are_a_set(self, store: VectorStore) -> None:
        """7.2 Neither how often a word stands in the query nor where changes anything."""
        docs = indexed(store, language="english")
        if docs is None:
            return
        write(docs, DOCUMENTS)
        expected = docs.search("red pear", mode="text")
        assert expected
        for query in ("pear red", "red red pear", "pears, REDS; the pear", "red pear unheardof"):
            assert docs.search(query, mode="text") == expected, query

    def test_a_query_without_a_word_finds_nothing(self, store: VectorStore) -> None:
        """7.2 Blanks, signs, stop words, lone marks: no hit, and no error."""
        docs = indexed(store, language="english")
        if docs is None:
            return
        write(docs, DOCUMENTS)
        for query in ("", " \n", "!? --", "_", "the and of", "\u0301", " \u0301\u0316 ", "\U0001f600"):
            assert docs.search(query, mode="text") == [], query
        assert docs.search_many(["", "red", "the"], mode="text")[::2] == [[], []]
        assert docs.search_many([], mode="text") == []

    def test_bad_arguments_of_a_text_search_are_refused(self, store: VectorStore) -> None:
        """7.2 Each by the class for it, also where nothing is asked for."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        bad: list[Any] = [[1, 2], np.ones(2), None, 5, b"red", ["red"], {"red": 1}]
        for query in bad:
            assert_refused(InvalidArgumentError, docs.search, query, mode="text")
            assert_refused(InvalidArgumentError, docs.search, query, k=0, mode="text")
        for query in ("nul\0", "half \ud800"):
            assert_refused(InvalidArgumentError, docs.search, query, mode="text")
        assert_refused(InvalidArgumentError, docs.search_many, "red", mode="text")
        assert_refused(InvalidArgumentError, docs.search, "red", -1, mode="text")
        assert_refused(InvalidArgumentError, docs.search, "red", mode="text", vector=[1, 2])
        assert_refused(InvalidArgumentError, docs.search, "red", mode="text", min_score="1")
        assert_refused(InvalidFilterError, docs.search, "red", mode="text", where={"v": {"$bad": 1}})

    def test_text_hits_are_cut_at_k_and_ties_go_by_id(self, store: VectorStore) -> None:
        """7.2 The hits of k are the first of those of more; equal scores stand by id, by code point."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        ids = ["b", "é", "a", "e\u0301", "B", "\U00010000", "10", "\uff5e", "9", "a "]
        write(docs, {**dict.fromkeys(ids, "red pear"), "z": "red red pear pear", "0": "pear pie"})
        everything = ["z", *sorted(ids), "0"]
        for k in (0, 1, 2, 5, 11, 12, 13, 1000, 10**30):
            assert ids_of(docs.search("pear red", k, mode="text")) == everything[:k], f"k={k}"
        assert len(docs.search("pear", mode="text")) == 10
        docs.upsert(ids=["B"], documents=["red pear"], embeddings=[[5, 5]])
        assert ids_of(docs.search("pear red", 20, mode="text")) == everything

    def test_min_score_of_a_text_search_is_a_bm25_score(self, store: VectorStore) -> None:
        """7.2 A hit whose score is the threshold stays, what is below goes."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        write(docs, {f"{at:02}": " ".join(["red"] * (at + 1)) for at in range(20)})
        hits = docs.search("red", 20, mode="text")
        for at in (0, 3, 19):
            assert ids_of(docs.search("red", 20, mode="text", min_score=hits[at].score)) == ids_of(hits[: at + 1])
        assert docs.search("red", mode="text", min_score=hits[0].score + 1e-3) == []
        assert len(docs.search("red", 20, mode="text", min_score=-1)) == 20

    def test_writes_change_what_words_weigh(self, store: VectorStore) -> None:
        """7.2 Every kind of write is in the next search: words, lengths, N and df."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        now: dict[str, str | None] = {}

        def same() -> None:
            for query in ("red", "pear", "red pear green"):
                assert ranked(docs, query) == bm25(query.split(), now), query

        same()
        write(docs, DOCUMENTS)
        now.update(DOCUMENTS)
        same()
        docs.add(ids=["new", "old"], documents=["red red", None], embeddings=[[1, 1]] * 2)
        now.update({"new": "red red", "old": None})
        same()
        docs.upsert(ids=["a", "new"], documents=["green green pear", None], embeddings=[[1, 1]] * 2)
        now.update({"a": "green green pear", "new": None})
        same()
        docs.update(ids=["b", "old"], documents=["blue", "pear pear pear"], embeddings=[[1, 1]] * 2)
        now.update({"b": "blue", "old": "pear pear pear"})
        same()
        docs.update(ids=["c"], documents=[None])
        now["c"] = None
        same()
        docs.update(ids=["a"], metadatas=[{"v": 1}])
        docs.update(ids=["a"], embeddings=[[9, 9]])
        docs.upsert(ids=["d"], embeddings=[[9, 9]])
        now["d"] = None
        same()
        docs.delete(["a"])
        docs.delete(where_document={"$contains": "blue"})
        del now["a"], now["b"]
        same()
        docs.delete(list(now))
        now.clear()
        same()

    def test_a_write_that_is_refused_changes_no_word(self, store: VectorStore) -> None:
        """7.2 What is not written is not in the index."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        write(docs, DOCUMENTS)
        calls: list[Callable[[], object]] = [
            lambda: docs.add(ids=["new", "a"], documents=["red", "red"], embeddings=[[1, 1]] * 2),
            lambda: docs.update(ids=["a", "new"], documents=["blue", "blue"], embeddings=[[1, 1]] * 2),
            lambda: docs.upsert(ids=["a", "a"], documents=["blue", "blue"], embeddings=[[1, 1]] * 2),
            lambda: docs.upsert(ids=["a", "b"], documents=["blue", "nul\0"], embeddings=[[1, 1]] * 2),
        ]
        for call in calls:
            assert_refused(VectorKitError, call)
        assert ranked(docs, "red blue") == bm25(["red", "blue"], DOCUMENTS)

    def test_text_hits_are_whole_records(self, store: VectorStore) -> None:
        """7.2 Document, metadata, and the embedding if it is asked for, as for any search."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        metadata: Any = {"v": [1, 1.0, None], "w": {"x": "y"}, "f": 1e16}
        docs.add(ids=["a"], documents=["red"], embeddings=[[3, 4]], metadatas=[metadata])
        (hit,) = docs.search("red", mode="text")
        assert (hit.document, hit.metadata, hit.embedding) == ("red", metadata, None)
        (hit,) = docs.search("red", mode="text", include_embeddings=True)
        assert hit.embedding is not None
        assert hit.embedding.tolist() == [3, 4]
        (record,) = docs.get(where={"f": 1e16})
        assert record.metadata == metadata
        assert docs.count({"v": {"$exists": True}}) == 1

    def test_several_text_queries_equal_one_search_each(self, store: VectorStore) -> None:
        """7.2 As 6.8 has it, with every argument."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        write(docs, DOCUMENTS)
        queries = ["red", "pear green", "", "red", "unheardof"]
        arguments: list[dict[str, Any]] = [
            *({}, {"k": 1}, {"where": {"place": {"$lt": 3}}}, {"min_score": 0.5}, {"include_embeddings": True}),
        ]
        for given in arguments:
            assert docs.search_many(queries, mode="text", **given) == [
                docs.search(query, mode="text", **given) for query in queries
            ]

    def test_filters_decide_before_the_cut_and_change_no_weight(self, store: VectorStore) -> None:
        """7.4 N and df are those of the collection; what matches is ranked, however far down it stands."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        write(docs, {f"{at:03}": "red " * (300 - at) + ("blue" if at % 100 == 99 else "pear") for at in range(300)})
        everything = {hit.id: hit.score for hit in docs.search("red", 300, mode="text")}
        assert len(everything) == 300
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({"where": {"place": {"$gte": 297}}}, ["297", "298", "299"]),
            ({"where_document": {"$contains": "blue"}}, ["099", "199", "299"]),
            ({"where": {"place": {"$gte": 150}}, "where_document": {"$contains": "blue"}}, ["199", "299"]),
            ({"where": {"$not": {"place": {"$gte": 3}}}}, ["000", "001", "002"]),
            ({"where": {"place": 300}}, []),
            ({"where": {"place": {"$in": []}}}, []),
            ({"where_document": {"$not_contains": "red"}}, []),
        ]
        for given, ids in cases:
            hits = docs.search("red", mode="text", **given)
            assert ids_of(hits) == sorted(ids, key=lambda id: -everything[id]), given
            assert [hit.score for hit in hits] == pytest.approx([everything[hit.id] for hit in hits], abs=1e-6)
            assert ids_of(docs.search("red", 2, mode="text", **given)) == ids_of(hits)[:2]
