"""The facade: what it passes to a backend, what it makes of embedders, streams and inexact rankings."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    EmbedderIdentity,
    Hit,
    MemoryBackend,
    Ranking,
    Record,
    VectorStore,
)
from vectorkit.backend.requests import Read, VectorSearch


class AsynchronousEmbedder:
    """Its methods are to be awaited."""

    identity = EmbedderIdentity("mine", "m", 2)

    async def embed_documents(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError

    async def embed_query(self, text: str) -> Any:
        raise NotImplementedError


class Watched(MemoryBackend):
    """The reference, writing down the numbers and batches it is given; its writes are not atomic."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int | None] = []
        self.batches: list[Batch] = []
        self.reading = False

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, atomic_writes=False)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        self.reading = True
        self.batches = list(batches)
        self.reading = False
        super().upsert(collection, self.batches)

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        self.numbers += [request.limit, request.offset]
        return super().get(collection, request)


class Forgetful(MemoryBackend):
    """Finds what an index might: never the record `lost`, unless the search is exact."""

    def __init__(self) -> None:
        super().__init__()
        self.exact: list[bool | None] = []

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        self.exact.append(request.exact)
        k, found = request.k, super().search(collection, replace(request, k=request.k + 1))
        if request.exact:
            return [replace(each, hits=each.hits[:k]) for each in found]
        return [Ranking([hit for hit in each.hits if hit.id != "lost"][:k], exact=False) for each in found]


class Late(MemoryBackend):
    """Where another process creates a collection between the question for it and its creation."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        super().create_collection(spec)
        return super().create_collection(spec)


class Embedder:
    """Two numbers a text, made by what it is given."""

    def __init__(self, documents: Callable[[Sequence[str]], Any], query: Callable[[str], Any] = len) -> None:
        self.identity = EmbedderIdentity("test", "test", 2)
        self._documents = documents
        self._query = query

    def embed_documents(self, texts: Sequence[str]) -> Any:
        return self._documents(texts)

    def embed_query(self, text: str) -> Any:
        return self._query(text)


def ids_of(hits: Sequence[Hit] | Sequence[Record]) -> list[str]:
    return [hit.id for hit in hits]


def test_a_store_is_a_context_manager_that_closes_its_backend() -> None:
    with vk.connect("memory:") as store:
        assert repr(store) == "VectorStore(MemoryBackend())"
        docs = store.create_collection("docs", dimension=2)
        assert repr(docs) == "Collection('docs', cosine, dimension=2, MemoryBackend())"
    with pytest.raises(vk.BackendError, match="closed"):
        docs.count()


def test_what_is_no_backend_is_refused() -> None:
    """8.2 With the call that a URL needs."""
    url: Any = "chroma:./kb"
    with pytest.raises(vk.InvalidArgumentError, match=r"use vectorkit.connect\(url\)"):
        VectorStore(url)


@pytest.mark.parametrize("url", ["", "memory", "nowhere:x", "postgres+other://u:secret@h/db", "memory:x", None, 5])
def test_a_url_that_nothing_opens_is_refused_without_being_shown(url: Any) -> None:
    """8.3 The rest of an unknown URL may hold a password."""
    with pytest.raises(vk.InvalidArgumentError) as caught:
        vk.connect(url)
    assert "memory:" in str(caught.value) or "a URL is a str" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_stream_reaches_a_backend_that_cannot_roll_back_when_it_is_known_to_be_good() -> None:
    """3.1 Whole, from a spool, in batches; a stream that breaks does not reach it at all."""
    backend = Watched()
    docs = VectorStore(backend).create_collection("docs", dimension=2)

    def records(count: int) -> Iterator[Record]:
        for at in range(count):
            assert not backend.reading
            yield Record(f"{at:04}", embedding=[1, at], metadata={"at": at})

    assert docs.upsert(records=records(2500)) == [f"{at:04}" for at in range(2500)]
    assert [len(batch) for batch in backend.batches] == [1000, 1000, 500]
    backend.batches = []
    with pytest.raises(vk.DimensionMismatchError):
        docs.upsert(records=(Record(f"{at}", embedding=[1] * (2 + at // 1500)) for at in range(1600)))
    assert backend.batches == []


def test_a_list_reaches_a_backend_at_once() -> None:
    """3.1 It is checked whole, so it needs no spool; its vectors are one array."""
    backend = Watched()
    docs = VectorStore(backend).create_collection("docs", dimension=2)
    docs.upsert(records=[Record(f"{at}", embedding=[1, at]) for at in range(2500)])
    (batch,) = backend.batches
    assert batch.embeddings.shape == (2500, 2)
    assert batch.embeddings.dtype == np.float32


def test_numbers_that_no_database_holds_do_not_reach_a_backend() -> None:
    """4.1 Any int is taken; what a backend gets fits into 32 bits."""
    backend = Watched()
    docs = VectorStore(backend).create_collection("docs", dimension=2)
    docs.add(ids=["a"], embeddings=[[1, 2]])
    assert ids_of(docs.get(limit=10**30)) == ids_of(docs.search([1, 2], 10**30)) == ["a"]
    assert docs.get(offset=10**30) == []
    assert all(number is None or number < 2**31 for number in backend.numbers)


def test_a_threshold_that_an_index_may_have_missed_hits_above_is_searched_exactly() -> None:
    """6.1 Only then: an index that found k hits above it has done what was asked."""
    backend = Forgetful()
    docs = VectorStore(backend).create_collection("docs", dimension=2, metric="l2")
    docs.add(ids=["near", "lost", "far"], embeddings=[[1, 0], [2, 0], [9, 0]])
    assert ids_of(docs.search([0, 0], 2)) == ["near", "far"]
    assert ids_of(docs.search([0, 0], 1, min_score=0.3)) == ["near"]
    assert backend.exact == [None, None]
    assert ids_of(docs.search([0, 0], 2, min_score=0.3)) == ["near", "lost"]
    assert backend.exact[2:] == [None, True]
    assert [ids_of(hits) for hits in docs.search_many([[0, 0], [9, 0]], 1, min_score=0.5)] == [["near"], ["far"]]


BAD_ROWS: list[Any] = [
    None,
    [1],
    [1, 2, 3],
    [np.nan, 1],
    [0, 0],
    ["1", "2"],
    "ab",
    np.ones((1, 2)),
    np.array(1.0),
    {1: 2},
]


@pytest.mark.parametrize("row", BAD_ROWS, ids=repr)
def test_what_an_embedder_returns_is_checked(row: Any) -> None:
    """8.1 Whatever is wrong with it is an `EmbeddingError`, and nothing is written."""
    embedder = Embedder(lambda texts: [[1, 2], row], lambda text: row)
    docs = vk.connect("memory:").create_collection("docs", embedder=embedder)
    with pytest.raises(vk.EmbeddingError):
        docs.add(ids=["a", "b"], documents=["x", "y"])
    with pytest.raises(vk.EmbeddingError):
        docs.search("x")
    assert docs.count() == 0


@pytest.mark.parametrize("rows", [None, [], [[1, 2]], [[1, 2]] * 3, np.ones(2), np.ones((2, 3)), np.ones((2, 2, 2)), 5])
def test_an_embedder_returns_as_many_rows_as_it_was_given(rows: Any) -> None:
    """8.1 One a document, in one array."""
    docs = vk.connect("memory:").create_collection("docs", embedder=Embedder(lambda texts: rows))
    with pytest.raises(vk.EmbeddingError):
        docs.add(ids=["a", "b"], documents=["x", "y"])
    assert docs.count() == 0


def test_what_an_embedder_raises_is_the_cause_of_an_error_of_ours() -> None:
    """8.2 And not something a caller must know of."""

    def broken(given: object) -> Any:
        raise ZeroDivisionError("no model")

    docs = vk.connect("memory:").create_collection("docs", embedder=Embedder(broken, broken))
    for call in (lambda: docs.add(documents=["x"]), lambda: docs.search("x")):
        with pytest.raises(vk.EmbeddingError, match="ZeroDivisionError: no model") as caught:
            call()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_embedder_is_asked_once_for_all_documents_of_a_call() -> None:
    """2.3 And only for those without a vector."""
    asked: list[list[str]] = []

    def embed(texts: Sequence[str]) -> Any:
        asked.append(list(texts))
        return [[1, len(text)] for text in texts]

    docs = vk.connect("memory:").create_collection("docs", embedder=Embedder(embed))
    docs.add(ids=["a", "b", "c"], documents=["x", "yy", "zzz"], embeddings=[None, [5, 5], None])
    docs.add(ids=["d"], documents=["v"], embeddings=[[1, 1]])
    assert asked == [["x", "zzz"]]


def test_a_collection_that_another_process_creates_meanwhile_is_opened() -> None:
    """1.3 And compared with what was asked for, like any that exists."""
    store = VectorStore(Late())
    assert store.get_or_create_collection("docs", dimension=2).info().dimension == 2
    assert store.get_or_create_collection("docs", dimension=2).info().dimension == 2
    with pytest.raises(vk.CollectionMismatchError):
        store.get_or_create_collection("docs", dimension=3)


def test_columns_may_be_any_iterables() -> None:
    """2.3 Generators among them, also where ids are generated, and each is read once."""
    docs = vk.connect("memory:").create_collection("docs", dimension=2)
    embeddings: Any = ([1, at] for at in range(3))
    metadatas: Any = ({"at": at} for at in range(3))
    made = docs.add(embeddings=embeddings, metadatas=metadatas)
    assert [record.metadata for record in docs.get(made)] == [{"at": 0}, {"at": 1}, {"at": 2}]
    ids: Any = iter(["a", "b"])
    documents: Any = (text for text in "xy")
    assert docs.add(ids=ids, documents=documents, embeddings=np.ones((2, 2))) == ["a", "b"]


def test_text_and_hybrid_search_are_refused_before_anything_is_embedded() -> None:
    """7.1 There is no text index to search."""
    docs = vk.connect("memory:").create_collection("docs", embedder=Embedder(lambda texts: None, lambda text: None))
    with pytest.raises(vk.UnsupportedError, match="text index"):
        docs.search("x", mode="hybrid")


@pytest.mark.parametrize("language", [5, "", None, ["english"]])
def test_a_language_is_a_name(language: Any) -> None:
    """8.2 Whether or not there is a text index."""
    with pytest.raises(vk.InvalidArgumentError, match="language"):
        vk.connect("memory:").create_collection("docs", dimension=2, language=language)


def test_identities_that_differ_are_both_named() -> None:
    """1.4, 8.3 The message says which embedder was used then and which is given now."""
    store = vk.connect("memory:")
    embedder = Embedder(list)
    store.create_collection("docs", embedder=embedder)
    embedder.identity = replace(embedder.identity, model="other", query_prompt="q: ", normalize=False)
    with pytest.raises(
        vk.CollectionMismatchError, match=r"'test' \(test, 2 dim.*'other' \(test.*prompt 'q: ', not norm"
    ):
        store.get_collection("docs", embedder=embedder)


def test_a_warning_of_other_weights_points_at_the_call() -> None:
    """1.4 At the line that opened the collection, through either method."""
    store = vk.connect("memory:")
    embedder = Embedder(list)
    embedder.identity = replace(embedder.identity, revision="a" * 40)
    store.create_collection("docs", embedder=embedder)
    embedder.identity = replace(embedder.identity, revision="b" * 40)
    for call in (store.get_collection, store.get_or_create_collection):
        with pytest.warns(vk.EmbedderRevisionWarning, match="a{16} .* b{16}") as caught:
            call("docs", embedder=embedder)
        assert caught[0].filename == __file__


@pytest.mark.parametrize("call", ["create_collection", "get_or_create_collection", "get_collection", "reembed"])
def test_an_asynchronous_embedder_is_refused_when_given(call: str) -> None:
    """1.4 Not at the first write, and with the way out; nothing is made."""
    embedder: Any = AsynchronousEmbedder()
    store = vk.connect("memory:")
    docs = store.create_collection("docs", dimension=2)
    given: dict[str, Callable[[], object]] = {
        "create_collection": lambda: store.create_collection("new", embedder=embedder),
        "get_or_create_collection": lambda: store.get_or_create_collection("new", embedder=embedder),
        "get_collection": lambda: store.get_collection("docs", embedder=embedder),
        "reembed": lambda: docs.reembed(embedder),
    }
    with pytest.raises(vk.InvalidArgumentError, match=r"AsynchronousEmbedder is asynchronous.*give.*embeddings="):
        given[call]()
    assert [info.name for info in store.list_collections()] == ["docs"]


@pytest.mark.parametrize("fails_at", ["open", "write"])
def test_a_full_temporary_folder_is_our_own_error(fails_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """8.2 Nothing was written, and the store works on."""
    docs = VectorStore(Watched()).create_collection("docs", dimension=2)
    records = [Record("a", embedding=[1.0, 0.0])]
    full: Any = partial(Path("/dev/full").open, "w+b") if fails_at == "write" else _refuse_to_open
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.TemporaryFile", full)
        with pytest.raises(vk.BackendError, match="No space left on device; make room") as caught:
            docs.upsert(records=iter(records))
    assert isinstance(caught.value.__cause__, OSError)
    assert docs.count() == 0
    docs.upsert(records=iter(records))
    assert docs.count() == 1


def _refuse_to_open() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
