"""Rule 7.1 of the contract: which words a text is made of, and collections with and without a text index."""

import math
from typing import Any

import pytest

from vectorkit.collection import Collection
from vectorkit.errors import CollectionNotFoundError, InvalidArgumentError, UnsupportedError
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, ids_of
from vectorkit.testing._fixtures import Fixtures, StoreFactory
from vectorkit.testing._words import ANALYSED, DOCUMENTS, Analysed, bm25, indexed, ranked, write

__all__ = ["TextIndexRules"]


class TextIndexRules(Fixtures):
    """Rule 7.1."""

    def test_text_search_needs_a_text_index(self, store: VectorStore, texts: Collection) -> None:
        """7.1 Without one `text` and `hybrid` raise `UnsupportedError` that says what to do."""
        texts.add(ids=["a"], documents=["alpha"])
        remedy = "create_text_index" if store.backend.capabilities.text_search else "mode='vector'"
        for query in ("alpha", [1] * 8):
            assert remedy in assert_refused(UnsupportedError, texts.search, query, mode="text")
            assert remedy in assert_refused(UnsupportedError, texts.search, query, mode="hybrid")
            assert_refused(UnsupportedError, texts.search_many, [query], k=0, mode="text")

    def test_get_or_create_makes_the_text_index_it_is_asked_for(self, store: VectorStore) -> None:
        """1.3 Of a collection that has none, of the documents it holds; where there is no text search it is refused."""
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]], documents=["alpha"])
        if not store.backend.capabilities.text_search:
            assert_refused(UnsupportedError, store.get_or_create_collection, "docs", text_index=True)
            return
        assert not store.get_or_create_collection("docs").info().spec.text_index
        for _ in range(2):
            docs = store.get_or_create_collection("docs", text_index=True)
            assert docs.info().spec.text_index
            assert ids_of(docs.search("alpha", mode="text")) == ["a"]
        assert store.get_or_create_collection("docs", text_index=False).info().spec.text_index

    def test_a_text_index_that_cannot_be_is_refused(self, store: VectorStore) -> None:
        """7.1 Where there is no text search neither creating nor adding one does anything but raise."""
        plain = store.create_collection("plain", dimension=2)
        if store.backend.capabilities.text_search:
            plain.create_text_index()
            assert plain.info().spec.text_index
            return
        assert_refused(UnsupportedError, store.create_collection, "docs", dimension=2, text_index=True)
        assert_refused(UnsupportedError, store.get_or_create_collection, "docs", dimension=2, text_index=True)
        assert_refused(UnsupportedError, plain.create_text_index)
        assert [info.name for info in store.list_collections()] == ["plain"]
        assert not plain.info().spec.text_index

    def test_another_language_is_refused(self, store: VectorStore) -> None:
        """7.1 With the known ones in the message, with and without a text index, and nothing is created."""
        bad: list[Any] = ["klingon", "English", "en", "", "thai", "porter", None, 5, ["english"]]
        for language in bad:
            for given in ({}, {"text_index": True}):
                message = assert_refused(
                    InvalidArgumentError, store.create_collection, "docs", dimension=2, language=language, **given
                )
                assert "english" in message
                assert "none" in message
        assert_refused(InvalidArgumentError, store.get_or_create_collection, "docs", dimension=2, language="klingon")
        assert store.list_collections() == []

    @pytest.mark.parametrize("case", ANALYSED, ids=[f"{case.language}-{at}" for at, case in enumerate(ANALYSED)])
    def test_words_are_made_as_the_rule_says(self, store: VectorStore, case: Analysed) -> None:
        """7.1 NFKC, casefold, runs of word characters, bigrams, stop words and stems, by language."""
        docs = indexed(store, language=case.language)
        if docs is None:
            return
        write(docs, {"a": case.document, "b": "zzz"})
        for query in case.finds:
            assert ids_of(docs.search(query, mode="text")) == ["a"], query
        for query in case.passes_over:
            assert docs.search(query, mode="text") == [], query
        # The length shows how many words there are.
        (hit,) = docs.search(case.finds[0], mode="text")
        saturation = case.frequency * 2.2 / (case.frequency + 1.2 * (0.25 + 0.75 * case.length / 128))
        assert hit.score == pytest.approx(math.log(2) * saturation * case.words_of_query, abs=1e-6)

    def test_documents_of_any_size_are_indexed(self, store: VectorStore) -> None:
        """7.1 Many thousand different words, one word of a million characters, marks without end, or no word."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        many = " ".join(f"w{at}" for at in range(20_000))
        marks = "\u0301\u0316" * 100_000
        write(docs, {"long": "x" * 1_000_000, "many": many, "marks": f"y{marks}", "no word": f"{marks} _ !? __"})
        assert ids_of(docs.search("w0 w9999 w19999", mode="text")) == ["many"]
        assert ids_of(docs.search("x" * 255, mode="text")) == ids_of(docs.search("x" * 300, mode="text")) == ["long"]
        assert docs.search("x" * 254, mode="text") == []
        assert ids_of(docs.search("y" + "\u0301\u0316" * 15, mode="text")) == ["marks"]
        assert docs.search("w20000", mode="text") == []
        (hit,) = docs.search("w7", mode="text")
        assert hit.score == pytest.approx(math.log(1 + 3.5 / 1.5) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 20_000 / 128)))

    def test_a_text_index_made_later_is_like_one_from_the_start(self, store: VectorStore) -> None:
        """7.1 Of the documents there are, with progress; then in step with writes, whatever handle they go through."""
        if not store.backend.capabilities.text_search:
            assert_refused(UnsupportedError, store.create_collection("docs", dimension=2).create_text_index)
            return
        docs = store.create_collection("docs", dimension=2, metric="l2", language="none")
        opened_before = store.get_collection("docs")
        write(docs, DOCUMENTS)
        assert_refused(UnsupportedError, docs.search, "red", mode="text")
        seen: list[tuple[int, int]] = []
        docs.create_text_index(lambda done, total: seen.append((done, total)))
        assert seen[0][0] == 0
        assert seen == sorted(seen)
        assert seen[-1] == (len(DOCUMENTS), len(DOCUMENTS))
        again: list[tuple[int, int]] = []
        docs.create_text_index(lambda done, total: again.append((done, total)))
        assert again == []
        assert docs.info().spec.text_index
        assert store.get_collection("docs").info() == docs.info()
        assert store.list_collections() == [docs.info()]
        assert ranked(docs, "red pear") == ranked(opened_before, "red pear") == bm25(["red", "pear"], DOCUMENTS)
        write(opened_before, {"new": "red", "a": "pear"})
        opened_before.delete(["b"])
        now: Any = {**DOCUMENTS, "new": "red", "a": "pear"}
        del now["b"]
        assert ranked(docs, "red pear") == bm25(["red", "pear"], now)

    def test_an_empty_collection_can_be_indexed_later(self, store: VectorStore) -> None:
        """7.1 And a progress that raises leaves it without an index, to be made at the next call."""
        if not store.backend.capabilities.text_search:
            assert_refused(UnsupportedError, store.create_collection("docs", dimension=2).create_text_index)
            return
        empty = store.create_collection("empty", dimension=2, language="none")
        empty.create_text_index()
        assert empty.search("red", mode="text") == []
        write(empty, {"a": "red"})
        assert ids_of(empty.search("red", mode="text")) == ["a"]
        docs = store.create_collection("docs", dimension=2, metric="l2", language="none")
        write(docs, DOCUMENTS)
        bad: list[Any] = ["progress", 5, [print]]
        for progress in bad:
            assert_refused(InvalidArgumentError, docs.create_text_index, progress)

        def fail(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            docs.create_text_index(fail)
        assert_refused(UnsupportedError, docs.search, "red", mode="text")
        assert not store.get_collection("docs").info().spec.text_index
        docs.create_text_index()
        assert ranked(docs, "red pear") == bm25(["red", "pear"], DOCUMENTS)
        store.drop_collection("docs")
        assert_refused(CollectionNotFoundError, docs.create_text_index)
        assert_refused(CollectionNotFoundError, docs.search, "red", mode="text")

    def test_a_text_index_is_there_when_the_store_is_opened_again(self, open_store: StoreFactory) -> None:
        """7.1 With what was written, and in step with what is written after."""
        first = open_store()
        docs = indexed(first, language="none")
        if docs is None:
            return
        write(docs, DOCUMENTS)
        docs.update(ids=["c"], documents=["red"], embeddings=[[1, 1]])
        docs.delete(["a"])
        persistent = first.backend.capabilities.persistent
        info = docs.info()
        first.close()
        if not persistent:
            return
        docs = open_store().get_collection("docs")
        assert docs.info() == info
        now: Any = {**DOCUMENTS, "c": "red"}
        del now["a"]
        assert ranked(docs, "red pear") == bm25(["red", "pear"], now)
        write(docs, {"z": "red pear"})
        assert ranked(docs, "red pear") == bm25(["red", "pear"], {**now, "z": "red pear"})

    def test_writes_of_another_store_are_in_the_next_text_search(self, open_store: StoreFactory) -> None:
        """7.1 Where several may be open at once: of every kind, whoever searched last, in both directions."""
        first = open_store()
        here = indexed(first, language="none")
        if here is None or not first.backend.capabilities.multi_process:
            return
        there = open_store().get_collection("docs")
        now: dict[str, str | None] = {}

        def same() -> None:
            for docs in (here, there):
                assert ranked(docs, "red pear blue") == bm25(["red", "pear", "blue"], now)

        same()
        for writer, other in ((here, there), (there, here)):
            write(writer, DOCUMENTS)
            now.update(DOCUMENTS)
            same()
            other.update(ids=["a", "b"], documents=["blue", None], embeddings=[[1, 1]] * 2)
            now.update({"a": "blue", "b": None})
            same()
            writer.delete(["c"])
            other.add(ids=["new"], documents=["red red"], embeddings=[[1, 1]])
            del now["c"]
            now["new"] = "red red"
            same()
            other.upsert(ids=["d", "new"], documents=["pear", "blue red"], embeddings=[[1, 1]] * 2)
            writer.upsert(ids=["new"], documents=["pear"], embeddings=[[1, 1]])
            now.update({"d": "pear", "new": "pear"})
            same()
            other.delete(["new"])
            del now["new"]
            same()
        there.delete(list(now))
        now.clear()
        same()

    def test_a_text_index_made_by_another_store_is_used(self, open_store: StoreFactory) -> None:
        """7.1 By a handle that was opened before, in its searches and in its writes."""
        first = open_store()
        if not (first.backend.capabilities.text_search and first.backend.capabilities.multi_process):
            assert indexed(first) is None or not first.backend.capabilities.multi_process
            return
        here = first.create_collection("docs", dimension=2, language="none")
        there = open_store().get_collection("docs")
        write(here, DOCUMENTS)
        there.create_text_index()
        write(here, {"a": "blue", "new": "red"})
        here.delete(["b"])
        now: Any = {**DOCUMENTS, "a": "blue", "new": "red"}
        del now["b"]
        for docs in (there, here, there):
            assert ranked(docs, "red pear blue") == bm25(["red", "pear", "blue"], now)
        assert here.info().spec.text_index
