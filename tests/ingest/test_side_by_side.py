"""Embedding beside writing: that they overlap, how much is held, and what an error or Ctrl-C leaves behind."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pytest

import vectorkit as vk
from vectorkit import Batch, CollectionInfo, EmbedderIdentity, MemoryBackend, Record, VectorStore
from vectorkit.types import FloatArray

PATIENCE = 30.0


def nothing(_: object) -> None:
    """Do nothing."""


class Watched(MemoryBackend):
    """The reference; does something before each write, and says which batches were written."""

    def __init__(self, before: Callable[[Batch], object] = nothing) -> None:
        super().__init__()
        self.before = before
        self.written: list[list[str]] = []
        self.threads: set[int] = set()

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        (batch,) = batches
        self.threads.add(threading.get_ident())
        self.before(batch)
        super().upsert(collection, [batch])
        self.written.append(batch.ids)


class Embedder:
    """Makes the same vector of everything; does something before each call."""

    identity = EmbedderIdentity("test", "ones", 2)

    def __init__(self, before: Callable[[Sequence[str]], object] = nothing) -> None:
        self.before = before
        self.calls: list[list[str]] = []

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        self.before(texts)
        self.calls.append(list(texts))
        return np.ones((len(texts), 2), dtype=np.float32)

    def embed_query(self, text: str) -> FloatArray:
        return np.ones(2, dtype=np.float32)


def collection(backend: MemoryBackend, embedder: Embedder) -> vk.Collection:
    return VectorStore(backend).create_collection("docs", embedder=embedder)


def records(count: int) -> Iterator[Record]:
    return (Record(f"{at:03}", f"text {at}") for at in range(count))


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_a_batch_is_embedded_while_the_one_before_is_written() -> None:
    """Each write but the last ends only after the next batch was embedded; one after the other, this would hang."""
    embedded = [threading.Event() for _ in range(6)]
    backend = Watched(lambda batch: embedded[int(batch.ids[0]) // 10 + 1].wait(PATIENCE) or pytest.fail("no overlap"))
    embedder = Embedder(lambda texts: embedded[int(texts[0].split()[1]) // 10].set())
    embedded[5].set()
    done = collection(backend, embedder).ingest(records(50), batch_size=10)
    assert (done.embedded, done.written) == (50, 50)
    assert [ids[0] for ids in backend.written] == ["000", "010", "020", "030", "040"]
    assert backend.threads.isdisjoint({threading.get_ident()})
    assert len(backend.threads) == 1


def test_the_source_is_read_no_more_than_two_batches_ahead() -> None:
    """What is read and not yet written: a batch that is being written, and one that waits for it."""
    backend = Watched()
    ahead: list[int] = []

    def source() -> Iterator[Record]:
        for read, record in enumerate(records(200)):
            ahead.append(read - sum(map(len, backend.written)))
            yield record

    collection(backend, Embedder()).ingest(source(), batch_size=10)
    assert max(ahead) <= 30


def test_only_changed_records_make_up_a_batch() -> None:
    """On a run that goes on, an embedder is not asked batch after batch for the few texts that are new."""
    backend, embedder = Watched(), Embedder()
    docs = collection(backend, embedder)
    docs.ingest([record for at, record in enumerate(records(60)) if at % 3], batch_size=10)
    embedder.calls.clear()
    done = docs.ingest(records(60), batch_size=10)
    assert (done.unchanged, done.embedded) == (40, 20)
    assert [len(call) for call in embedder.calls] == [10, 10]


def test_an_error_of_the_write_comes_before_that_of_the_next_batch() -> None:
    """The first in the order of the source is raised, and says how far it came; the batches before stay."""

    def fail(batch: Batch) -> None:
        if batch.ids[0] == "020":
            raise vk.BackendUnavailableError("the disk is full")

    def refuse(texts: Sequence[str]) -> None:
        if texts[0] == "text 30":
            raise ValueError("too long")

    backend = Watched(fail)
    docs = collection(backend, Embedder(refuse))
    with pytest.raises(vk.BackendUnavailableError, match="the disk is full") as raised:
        docs.ingest(records(50), batch_size=10)
    assert raised.value.__notes__ == [
        "of 40 records read 20 were written to collection 'docs', and 0 were there; they stay, "
        "and the same call goes on from there"
    ]
    assert docs.count() == 20
    backend.before = nothing
    with pytest.raises(vk.EmbeddingError) as refused:
        docs.ingest(records(50), batch_size=10)
    assert "embedding 10 records, '030' to '039', failed: the embedder failed: ValueError: too long" in str(
        refused.value
    )
    assert isinstance(refused.value.__cause__, ValueError)
    assert docs.count() == 30


@pytest.mark.parametrize("method", ["add", "upsert", "update"])
def test_an_embedder_that_knows_which_text_it_was_names_the_record(method: str) -> None:
    """2.3 Through each method that embeds; without an index, the first and the last record of the call."""

    def refuse(texts: Sequence[str]) -> None:
        if "bad" in texts:
            raise vk.EmbeddingError("it has no words", index=list(texts).index("bad"))

    embedder = Embedder(refuse)
    docs = collection(MemoryBackend(), embedder)
    docs.add(ids=["a", "b", "c"], documents=["x", "y", "z"])
    ids = [f"{id}{'' if method == 'update' else '2'}" for id in "abc"]
    with pytest.raises(vk.EmbeddingError, match=rf"record '{ids[1]}' could not be embedded: it has no words") as raised:
        getattr(docs, method)(ids=ids, documents=["x", "bad", "z"])
    assert raised.value.index == 1
    assert docs.count() == 3


def test_ctrl_c_while_embedding_leaves_whole_batches() -> None:
    """The batch that is being written is finished, the thread ends, and the same call goes on."""

    def interrupt(texts: Sequence[str]) -> None:
        if texts[0] == "text 20":
            signal.raise_signal(signal.SIGINT)

    embedder = Embedder(interrupt)
    docs = collection(Watched(), embedder)
    with pytest.raises(KeyboardInterrupt) as raised:
        docs.ingest(records(50), batch_size=10)
    assert "20 were written" in raised.value.__notes__[0]
    assert docs.count() == 20
    embedder.before = nothing
    assert docs.ingest(records(50), batch_size=10).unchanged == 20
    assert docs.count() == 50


def test_ctrl_c_while_writing_lets_the_write_finish() -> None:
    """The signal arrives while the caller waits for the write, which is committed whole before the call ends."""

    def interrupt(batch: Batch) -> None:
        if batch.ids[0] == "020":
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait(0.3)  # longer than the caller's thread needs to see it

    interrupted = threading.Event()
    docs = collection(Watched(interrupt), Embedder())
    with pytest.raises(KeyboardInterrupt):
        docs.ingest(records(50), batch_size=10)
    assert docs.count() == 30
    assert docs.ingest(records(50), batch_size=10).unchanged == 30
