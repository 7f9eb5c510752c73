"""Rule 3.9 of the contract: taking in whole data sets, and going on where that stopped."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.errors import DuplicateIdError, EmbeddingError, InvalidArgumentError, InvalidVectorError
from vectorkit.progress import Ingested
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_embedding, assert_refused, contents, ids_of
from vectorkit.testing._fixtures import Fixtures, TextEmbedder
from vectorkit.types import Record

__all__ = ["IngestRules"]


class _SourceError(Exception):
    """What a caller's own iterable may raise."""


def _records(count: int) -> Iterator[Record]:
    return (Record(f"{at:03}", f"text {at}", metadata={"at": at}) for at in range(count))


def _counts(done: Ingested) -> tuple[int, int, int, int]:
    assert done.seconds >= 0
    return done.read, done.unchanged, done.embedded, done.written


class IngestRules(Fixtures):
    """Rule 3.9."""

    @pytest.mark.parametrize("batch_size", [1, 4, 100])
    def test_an_ingest_writes_what_an_upsert_writes(
        self, store: VectorStore, embedder: TextEmbedder, batch_size: int
    ) -> None:
        """3.9 Whatever the size of a batch: with vectors and without, in place of what was there."""
        records = [
            *_records(10),
            Record("own", "with a vector of its own", [1, 2, 3, 4, 5, 6, 7, 8], {"list": [1, 1.0, True, None]}),
            Record("bare", None, [8, 7, 6, 5, 4, 3, 2, 1]),
            Record("empty", ""),
        ]
        here = store.create_collection("here", embedder=embedder)
        there = store.create_collection("there", embedder=embedder)
        for collection in (here, there):
            collection.add(ids=["003", "zzz"], documents=["old", "stays"], metadatas=[{"old": True}, {}])
        there.upsert(records=records)
        assert _counts(here.ingest(iter(records), batch_size=batch_size)) == (13, 0, 11, 13)
        assert contents(here) == contents(there)
        assert here.search("text 7", k=3) == there.search("text 7", k=3)
        assert _counts(here.ingest([])) == (0, 0, 0, 0)

    def test_what_is_stored_unchanged_is_not_embedded_again(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.9 The same document and metadata, of the same types; a vector that is given is written each time."""
        texts.ingest(_records(20), batch_size=7)
        before = contents(texts)
        embedder.seen.clear()
        assert _counts(texts.ingest(_records(20), batch_size=6)) == (20, 20, 0, 0)
        assert embedder.seen == []
        assert contents(texts) == before
        changed: dict[int, Record] = {
            3: Record("003", "another text", metadata={"at": 3}),
            4: Record("004", "text 4", metadata={"at": 4.0}),
            5: Record("005", "text 5", metadata={"at": 5, "new": None}),
            6: Record("006", "text 6"),
            7: Record("007", "text 7", np.ones(8), {"at": 7}),
        }
        source = [changed.get(at, record) for at, record in enumerate(_records(22))]
        assert _counts(texts.ingest(source, batch_size=6)) == (22, 15, 6, 7)
        assert embedder.seen == ["another text", "text 4", "text 5", "text 6", "text 20", "text 21"]
        assert [type(record.metadata.get("at")) for record in texts.get(["003", "004", "006"])] == [
            *(int, float),
            type(None),
        ]
        (seven,) = texts.get(["007"], include_embeddings=True)
        assert_embedding(seven.embedding, [1.0] * 8)

    def test_ids_by_content_are_the_same_everywhere(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.9 SHA-256 of document and metadata; what is equal is one record, embedded once, in this run and the next.

        The ids stand here as `printf '["alpha",{}]' | sha256sum | cut -c1-32` makes them.
        """
        source: list[Any] = ["alpha", "beta", "alpha", Record("ignored", "alpha", metadata={"b": 1, "a": "ü\n"})]
        source += [Record(document="alpha", metadata={"a": "ü\n", "b": 1}), Record(document="alpha"), "alpha"]
        assert _counts(texts.ingest(source, ids="content", batch_size=2)) == (7, 4, 3, 3)
        assert embedder.seen == ["alpha", "beta", "alpha"]
        assert {record.id: (record.document, record.metadata) for record in texts.get()} == {
            "8a182443c597dc0af23289b4f5821d07": ("alpha", {}),
            "2a4f5c7c3f2898eab3369f78dbe8aad0": ("beta", {}),
            "59d191d85051d1e1d5d003a0e2f8e0af": ("alpha", {"a": "ü\n", "b": 1}),
        }
        assert _counts(texts.ingest(iter(source), ids="content")) == (7, 7, 0, 0)
        values: list[Any] = [{"v": 1}, {"v": 1.0}, {"v": True}, {"v": "1"}, {"v": [1]}, {"v": None}, {}]
        texts.ingest([Record(document="gamma", metadata=value) for value in values], ids="content")
        assert texts.count(where_document={"$contains": "gamma"}) == 7

    def test_an_error_leaves_the_batches_before_it(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.9 Whole ones; the message names the record, and the same call goes on with what is not there."""
        embedder.refuses = "text 13"
        message = assert_refused(EmbeddingError, texts.ingest, _records(30), batch_size=5)
        assert "'013'" in message
        assert ids_of(texts.get()) == [f"{at:03}" for at in range(10)]
        embedder.refuses = None
        embedder.seen.clear()
        assert _counts(texts.ingest(_records(30), batch_size=5)) == (30, 10, 20, 20)
        assert embedder.seen == [f"text {at}" for at in range(10, 30)]
        assert ids_of(texts.get()) == [f"{at:03}" for at in range(30)]

    def test_what_a_source_raises_passes_through(self, texts: Collection) -> None:
        """3.9 Whole batches before it stay, and no thread is left behind; Ctrl-C is no different."""

        def broken(error: BaseException) -> Iterator[Record]:
            yield from _records(12)
            raise error

        before = threading.active_count()
        errors: list[BaseException] = [_SourceError("the disk is gone"), KeyboardInterrupt()]
        for error in errors:
            with pytest.raises(type(error)) as raised:
                texts.ingest(broken(error), batch_size=5)
            assert raised.value is error
            assert ids_of(texts.get()) == [f"{at:03}" for at in range(10)]
        assert threading.active_count() == before

    def test_a_bad_record_is_named_and_the_batches_before_it_stay(
        self, store: VectorStore, embedder: TextEmbedder
    ) -> None:
        """3.9 By its id, or by its place where it has none yet; an id that the source holds twice is refused."""
        bad: list[tuple[type[InvalidArgumentError | DuplicateIdError], Any, Any, str]] = [
            (InvalidArgumentError, "given", "text", "ids='content'"),
            (InvalidArgumentError, "given", {"id": "x"}, "item 3"),
            (InvalidArgumentError, "content", b"text", "item 3"),
            (InvalidArgumentError, "content", "\0", "item 3"),
            (InvalidArgumentError, "content", Record("x", None, [1] * 8), "item 3"),
            (InvalidVectorError, "given", Record("x"), "'x'"),
            (InvalidVectorError, "given", Record("x", "text", [1, 2]), "'x'"),
            (DuplicateIdError, "given", Record("000", "again"), "'000'"),
        ]
        for at, (error, ids, item, named) in enumerate(bad):
            docs = store.create_collection(f"docs-{at}", embedder=embedder)
            assert named in assert_refused(error, docs.ingest, [*_records(2), item], ids=ids, batch_size=1)
            assert docs.count() == 2

    def test_what_is_gone_from_its_source_is_pruned(self, texts: Collection) -> None:
        """3.9 Of the sources that were read, or were named, and only when asked for; whichever way ids are made."""

        def of(source: str, *documents: str) -> list[Record]:
            return [Record(f"{source} {text}", text, metadata={"source": source}) for text in documents]

        for ids in ("given", "content"):
            texts.delete([record.id for record in texts.get()])
            others = [Record("none", "stays"), Record("number", "stays", metadata={"source": 1}), *of("B.md", "stays")]
            texts.upsert(records=others)
            first = texts.ingest([*of("a.md", "one", "two", "three"), *of("b.md", "four")], ids=ids, batch_size=2)
            assert (first.written, first.pruned) == (4, 0)
            kept = texts.ingest(of("a.md", "two"), ids=ids)
            assert (kept.unchanged, kept.pruned, texts.count()) == (1, 0, 7)
            pruned = texts.ingest(of("a.md", "two", "new"), ids=ids, prune=True)
            assert (pruned.read, pruned.unchanged, pruned.written, pruned.pruned) == (2, 1, 1, 2)
            assert sorted(str(each.document) for each in texts.get()) == [
                "four",
                "new",
                "stays",
                "stays",
                "stays",
                "two",
            ]
            named = texts.ingest(of("a.md", "two"), ids=ids, prune=["b.md", "no such"])
            assert (named.pruned, texts.count()) == (1, 5)
            assert texts.ingest([], ids=ids, prune=True).pruned == 0
            assert texts.ingest([], ids=ids, prune=["a.md"]).pruned == 2
            assert texts.count() == 3

    def test_an_error_prunes_nothing(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.9 Nor does a record that does not say where it is from."""
        records = [Record(f"{at}", f"text {at}", metadata={"source": "a"}) for at in range(5)]
        texts.ingest(records)
        embedder.refuses = "new"
        new = Record("9", "new", metadata={"source": "a"})
        assert_refused(EmbeddingError, texts.ingest, [records[0], new], prune=True)
        unsaid: list[dict[str, Any]] = [{}, {"source": None}, {"source": 1}]
        for metadata in unsaid:
            lost = Record("9", "other", metadata=metadata)
            message = assert_refused(InvalidArgumentError, texts.ingest, [records[0], lost], prune=True)
            assert "item 2" in message
        assert ids_of(texts.get()) == ["0", "1", "2", "3", "4"]

    def test_wrong_arguments_of_an_ingest_are_refused(self, texts: Collection) -> None:
        """3.9 A source that is one text or one record, or none; and what the other arguments cannot be."""
        bad: list[Any] = ["text", b"text", Record("a", "text"), {"a": "text"}, None, 5]
        for source in bad:
            assert_refused(InvalidArgumentError, texts.ingest, source, ids="content")
        wrong: list[dict[str, Any]] = [{"ids": "hash"}, {"ids": None}, {"batch_size": 0}, {"batch_size": "5"}]
        for argument in (
            *wrong,
            {"batch_size": True},
            {"progress": "yes"},
            {"progress": 1},
            {"prune": "a"},
            {"prune": [1]},
        ):
            assert_refused(InvalidArgumentError, texts.ingest, _records(2), **argument)
        assert texts.count() == 0

    def test_an_ingest_reports_how_far_it_is(self, texts: Collection) -> None:
        """3.9 Counts that only grow, at last those that are returned; what the function raises ends the ingest."""
        seen: list[Ingested] = []
        done = texts.ingest(list(_records(10)), batch_size=4, progress=seen.append)
        assert _counts(seen[-1]) == _counts(done) == (10, 0, 10, 10)
        assert [_counts(each) for each in seen] == sorted(_counts(each) for each in seen)
        assert {each.total for each in (*seen, done)} == {10}
        assert texts.ingest(_records(10), progress=seen.append).total is None

        def stop(counts: Ingested) -> None:
            if counts.written == 5:
                raise _SourceError("enough")

        with pytest.raises(_SourceError, match="enough"):
            texts.ingest([Record(f"new {at}", "text") for at in range(50)], batch_size=5, progress=stop)
        assert 15 <= texts.count() <= 20
        assert texts.count() % 5 == 0
