"""Chroma over HTTP when the network or a gateway fails: cuts at every request, silence, bodies that are too large."""

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit_chroma import ChromaBackend
from vectorkit_chroma.connections.lock import FolderLock

Gateway = Any

OLD = [vk.Record(f"old-{n}", f"old text {n}", np.eye(8, dtype=np.float32)[n], {"n": n, "old": True}) for n in range(6)]
NEW = [vk.Record(f"new-{n}", f"new text {n}", np.eye(8, dtype=np.float32)[n], {"n": n, "new": True}) for n in range(6)]
REPLACING = [vk.Record(old.id, new.document, new.embedding, new.metadata) for old, new in zip(OLD, NEW, strict=True)]
ERRORS = (vk.PartialWriteError, vk.BackendUnavailableError, vk.BackendTimeoutError)


@pytest.fixture
def store(gateway: Gateway) -> Iterator[vk.VectorStore]:
    """A store whose every request passes the gateway."""
    with vk.connect(f"chroma+{gateway.url}?timeout=20") as store:
        store.backend._connection.max_batch = 4  # type: ignore[attr-defined]  # calls of several parts, with few records
        yield store


class Place:
    """A collection of six records, seen through the gateway (`docs`) and past it (`truth`)."""

    def __init__(self, store: vk.VectorStore, direct: vk.VectorStore) -> None:
        self.store = store
        self.name = f"cut-{uuid4().hex[:12]}"
        self.truth = direct.create_collection(self.name, embedder=HashEmbedder(8))
        self.truth.add(records=OLD)
        self.docs = store.get_collection(self.name, embedder=HashEmbedder(8))

    def stored(self) -> dict[str, tuple[Any, ...]]:
        return {record.id: content(record) for record in self.truth.get(include_embeddings=True)}


def content(record: vk.Record) -> tuple[Any, ...]:
    return record.document, record.embedding.tolist(), sorted(record.metadata.items())  # type: ignore[union-attr]


def whole(place: Place, *allowed: list[vk.Record], deleted: bool = False) -> None:
    """Every record is one of those allowed, whole, and no old one is missing unless it was to be deleted."""
    stored = place.stored()
    known = {(record.id, str(content(record))) for records in (OLD, *allowed) for record in records}
    assert {(id, str(found)) for id, found in stored.items()} <= known
    assert deleted or {record.id for record in OLD} <= set(stored)


CHANGED = [vk.Record(old.id, old.document, old.embedding, {"changed": True}) for old in OLD]

WRITES: dict[str, tuple[Callable[[Place], object], list[vk.Record]]] = {
    "add": (lambda place: place.docs.add(records=NEW), NEW),
    "upsert": (lambda place: place.docs.upsert(records=[*NEW[:3], *REPLACING]), [*NEW[:3], *REPLACING]),
    "update": (
        lambda place: place.docs.update(ids=[r.id for r in OLD], metadatas=[{"changed": True} for _ in OLD]),
        CHANGED,
    ),
    "ingest": (lambda place: place.docs.ingest(REPLACING, ids="given", batch_size=2), REPLACING),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", WRITES)
def test_a_cut_at_any_request_of_a_write_loses_nothing(
    gateway: Gateway, store: vk.VectorStore, chroma_http_url: str, call: str, when: Literal["before", "after"]
) -> None:
    """3.7, 8.2, 9.4 Typed errors, no record half written, what is said to be written is, and the next call works."""
    write, written = WRITES[call]
    with vk.connect(f"chroma+{chroma_http_url}") as direct:
        for number in cuts(gateway, lambda: Place(store, direct), write, when):
            place, error = number
            whole(place, written)
            stored = place.stored()
            if isinstance(error, vk.PartialWriteError):
                wanted = {record.id: content(record) for record in written}
                assert {id: stored[id] for id in error.written} == {id: wanted[id] for id in error.written}
            if call == "add":  # what was in doubt may be there: `add` would say so
                place.docs.upsert(records=NEW)
            else:
                write(place)
            wanted = {record.id: content(record) for record in (*OLD, *written)}
            assert place.stored() == wanted
            assert place.docs.count() == len(wanted)
            direct.drop_collection(place.name)


def cuts(
    gateway: Gateway, make: Callable[[], Place], call: Callable[[Place], object], when: str
) -> Iterator[tuple[Place, vk.VectorKitError]]:
    """Run a call with its first request cut, then with its second, and so on until none is left to cut."""
    number = 0
    while True:
        number += 1
        place = make()
        gateway.requests, gateway.cut = 0, (number, when)
        try:
            call(place)
            assert gateway.requests < number, "a cut was answered with success"
            assert number > 1, "nothing was cut"
            gateway.cut = None
            return
        except ERRORS as error:
            assert gateway.requests >= number
            gateway.cut = None
            yield place, error


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cut_at_any_request_of_a_delete_loses_nothing_else(
    gateway: Gateway, store: vk.VectorStore, chroma_http_url: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.5, 3.7 Deleted are those that were to be, or fewer; the same call finishes it."""
    monkeypatch.setattr("vectorkit_chroma.records.writing.PAGE", 2)
    with vk.connect(f"chroma+{chroma_http_url}") as direct:
        for place, error in cuts(
            gateway, lambda: Place(store, direct), lambda place: place.docs.delete(where={"n": {"$gte": 1}}), when
        ):
            whole(place, deleted=True)
            left = set(place.stored())
            assert "old-0" in left
            if isinstance(error, vk.PartialWriteError):
                assert left.isdisjoint(error.written)
            place.docs.delete(where={"n": {"$gte": 1}})
            assert set(place.stored()) == {"old-0"}
            direct.drop_collection(place.name)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["reembed", "copy", "create_text_index"])
def test_a_cut_at_any_request_of_a_long_call_can_be_finished(
    gateway: Gateway, store: vk.VectorStore, chroma_http_url: str, call: str, when: str
) -> None:
    """1.7, 3.9, 7.1 Nothing is lost, and the same call goes on."""
    target = f"cut-{uuid4().hex[:12]}"
    source = vk.connect("memory:")
    source.create_collection(target, dimension=8).add(records=NEW)

    def run(place: Place) -> object:
        if call == "reembed":
            return place.docs.reembed(HashEmbedder(16))
        if call == "create_text_index":
            place.docs.create_text_index()
            return None
        return vk.copy(source, place.store, collections=[target])

    with vk.connect(f"chroma+{chroma_http_url}") as direct:
        for place, _ in cuts(gateway, lambda: Place(store, direct), run, when):
            place.docs = store.get_collection(place.name)
            assert {record.id: record.document for record in place.docs.get()} == {r.id: r.document for r in OLD}
            if place.docs.info().dimension == 8 or call != "reembed":
                place.docs = store.get_collection(place.name, embedder=HashEmbedder(8))
                run(place)
            after = direct.get_collection(place.name)
            assert [record.id for record in after.get()] == [record.id for record in OLD]
            if call == "reembed":
                assert after.info().dimension == 16
            elif call == "create_text_index":
                assert [hit.id for hit in after.search("4", mode="text")] == ["old-4"]
            else:
                copied = direct.get_collection(target)
                assert [content(r) for r in copied.get(include_embeddings=True)] == [content(r) for r in NEW]
                direct.drop_collection(target)
            direct.drop_collection(place.name)
        if call == "copy":
            direct.drop_collection(target)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cut_while_creating_or_dropping_leaves_all_or_nothing(
    gateway: Gateway, store: vk.VectorStore, chroma_http_url: str, when: str
) -> None:
    """1.3 The collection is there with its settings, or not at all; the same call finishes it."""
    made = f"cut-{uuid4().hex[:12]}"
    with vk.connect(f"chroma+{chroma_http_url}") as direct:

        def create(place: Place) -> object:
            return place.store.get_or_create_collection(made, dimension=3, metric="l2", text_index=True)

        for place, _ in cuts(gateway, lambda: Place(store, direct), create, when):
            info = store.get_or_create_collection(made, dimension=3, metric="l2", text_index=True).info()
            assert (info.dimension, info.metric) == (3, "l2")
            store.drop_collection(made)
            direct.drop_collection(place.name)
        for place, _ in cuts(
            gateway, lambda: Place(store, direct), lambda place: place.store.drop_collection(place.name), when
        ):
            store.drop_collection(place.name, missing_ok=True)
            with pytest.raises(vk.CollectionNotFoundError):
                place.docs.count()


@pytest.mark.parametrize("call", ["search", "get", "upsert"])
def test_a_server_that_goes_quiet_half_way_is_given_up(gateway: Gateway, call: str) -> None:
    """8.1 `BackendTimeoutError` after the time given; the store works on."""
    with vk.connect(f"chroma+{gateway.url}?timeout=0.5") as store:
        docs = store.create_collection(f"quiet-{uuid4().hex[:8]}", dimension=8)
        docs.add(records=OLD)
        calls: dict[str, Callable[[], object]] = {
            "search": lambda: docs.search(np.eye(8, dtype=np.float32)[0], k=3),
            "get": docs.get,
            "upsert": lambda: docs.upsert(records=OLD),
        }
        gateway.requests, gateway.cut = 0, (1, "quiet")
        started = time.monotonic()
        with pytest.raises(vk.BackendTimeoutError, match="timeout"):
            calls[call]()
        assert time.monotonic() - started < 10
        gateway.cut = None
        calls[call]()
        store.drop_collection(docs.name)


def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    """8.1 Connecting ends, and says what it waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"chroma+http://127.0.0.1:{silent.getsockname()[1]}"
        for connect in (lambda: vk.connect(f"{url}?timeout=0.2"), lambda: ChromaBackend(url, timeout=0.2)):
            started = time.monotonic()
            with pytest.raises(vk.BackendTimeoutError, match=r"connecting to .*127\.0\.0\.1"):
                connect()
            assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "option", ["timeout=0", "timeout=-1", "timeout=inf", "timeout=x", "timeout=", "x=1", "timeout"]
)
def test_another_option_or_timeout_in_the_url_is_refused(option: str) -> None:
    with pytest.raises(vk.InvalidArgumentError, match="timeout"):
        vk.connect(f"chroma+http://127.0.0.1:9?{option}")


def test_a_timeout_goes_with_a_server_only() -> None:
    with pytest.raises(vk.InvalidArgumentError, match="timeout is for a server"):
        ChromaBackend("chroma:", timeout=5)
    with pytest.raises(vk.InvalidArgumentError, match="not both"):
        ChromaBackend("chroma+http://127.0.0.1:9?timeout=5", timeout=5)
    for wrong in (True, "5", 0, float("nan")):
        with pytest.raises(vk.InvalidArgumentError, match="timeout must be a number of seconds"):
            ChromaBackend("chroma+http://127.0.0.1:9", timeout=wrong)  # type: ignore[arg-type]


def test_bodies_that_a_gateway_refuses_are_halved(gateway: Gateway) -> None:
    """3.7 Every record once; what was learnt holds for later calls. Reads and deletes of many ids, too."""
    gateway.max_body = 20_000
    vectors = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    ids = [f"{n:03}" + "x" * 80 for n in range(500)]
    with vk.connect(f"chroma+{gateway.url}") as store:
        docs = store.create_collection(f"small-{uuid4().hex[:8]}", dimension=8)
        docs.add(ids=ids, embeddings=vectors, documents=[f"text {id}" for id in ids])
        refused = len(gateway.refused)
        assert refused > 0
        docs.upsert(ids=ids[:250], embeddings=vectors[:250], metadatas=[{"n": n} for n in range(250)])
        docs.update(ids=ids, documents=[f"new {id}" for id in ids], embeddings=vectors)
        records = docs.get(ids=ids, include_embeddings=True)
        assert [(record.id, record.document) for record in records] == [(id, f"new {id}") for id in ids]
        assert [record.metadata for record in records[:250]] == [{"n": n} for n in range(250)]
        assert np.allclose([np.asarray(record.embedding) for record in records], vectors, atol=1e-6)
        found = docs.search_many(vectors, k=1)
        assert [hits[0].id for hits in found] == ids
        assert docs.delete(ids=ids[:400]) == 400
        assert docs.count() == 100
        store.drop_collection(docs.name)


def test_a_record_too_large_for_a_gateway_is_an_error(gateway: Gateway) -> None:
    """3.7, 8.1 It cannot be halved; those before it were written, and are named."""
    gateway.max_body = 20_000
    with vk.connect(f"chroma+{gateway.url}") as store:
        docs = store.create_collection(f"small-{uuid4().hex[:8]}", dimension=8)
        with pytest.raises(vk.PartialWriteError, match="413") as caught:
            docs.add(ids=["a", "b"], embeddings=np.eye(8)[:2], documents=["short", "long " * 5000])
        assert caught.value.written == ("a",)
        assert [record.id for record in docs.get()] == ["a"]
        store.drop_collection(docs.name)


@pytest.mark.parametrize("kind", ["memory", "disk", "http"])
def test_a_store_out_of_scope_gives_up_what_it_holds(
    kind: str, tmp_path_factory: pytest.TempPathFactory, gateway: Gateway
) -> None:
    """9.3 As when the cell of a notebook is run again: threads end, and a folder can be opened by others."""
    folder = tmp_path_factory.mktemp("kb")
    url = {"memory": "chroma:", "disk": f"chroma:{folder}", "http": f"chroma+{gateway.url}"}[kind]

    def cell() -> tuple["weakref.ref[object]", "weakref.ref[object]"]:
        store = vk.connect(url)
        docs = store.get_or_create_collection("forgotten", dimension=2)
        docs.upsert(ids=[f"{n}" for n in range(2500)], embeddings=np.ones((2500, 2)))
        assert len(docs.get(ids=[f"{n}" for n in range(2500)])) == 2500  # in several parts: by threads
        return weakref.ref(store.backend), weakref.ref(store.backend._connection)  # type: ignore[attr-defined]

    def ours() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("vectorkit")]

    kept = [cell() for _ in range(3)]
    gc.collect()
    deadline = time.monotonic() + 20
    while ours():
        assert time.monotonic() < deadline, ours()
        time.sleep(0.02)
    gc.collect()
    assert [reference() for pair in kept for reference in pair] == [None] * 6
    if kind == "disk":
        lock = FolderLock(folder, "the folder")
        lock.acquire()  # raises while the store holds it
        lock.release()
    if kind == "http":
        vk.connect(url).drop_collection("forgotten")
