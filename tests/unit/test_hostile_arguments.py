"""Every argument of every public function, with values nobody should give: only our own exceptions come out (8.2)."""

import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import AsyncOpenAIEmbedder, CachedEmbedder, HashEmbedder, OpenAIEmbedder
from vectorkit.memory import MemoryBackend
from vectorkit.validation import short
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend

Call: TypeAlias = tuple[Callable[..., Any], dict[str, Any]]


class Surly:
    """Raises whatever it is asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")


class Text(str):
    """A text that is not equal to itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


class Own(Exception):
    """What the caller's own code raises; it passes through."""


class Unreadable:
    """Cannot be iterated, though it says so."""

    def __iter__(self) -> Iterator[Any]:
        raise Own


def fails(*_: Any) -> Any:
    """Can be called, in vain."""
    raise Own


DEEP: Final[list[Callable[[Any], Any]]] = [lambda x: [x], lambda x: {"a": x}, lambda x: {"$not": x}, lambda x: (x,)]
WIDE: Final[list[Callable[[Any], Any]]] = [lambda x: [x, x], lambda x: {"a": x, "b": x}, lambda x: {"$or": [x, x]}]


def nested(wrap: Callable[[Any], Any], times: int) -> Any:
    value: Any = 1
    for _ in range(times):
        value = wrap(value)
    return value


CONSTANTS: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**5000, ...),
    *(0.5, -0.0, 1e308, math.nan, math.inf, -math.inf, 1j, Decimal("NaN"), Decimal("sNaN")),
    *("", " ", "x" * 300, "a\0b", "a\ud800", "\x1b[2J\u202e", "é" * 200, "~nobody/x", "../.."),
    *("'; DROP TABLE x; --", "%s %n {0} ${x}", '{"a":' * 5000, "[" * 5000),
    *("memory:", "chroma+http://[", "postgresql://a:b:c@/", "mirror:?", "file:", "file:\0.jsonl", ":"),
    *(b"x", bytearray(b"x"), Path("x\0"), Path("x" * 300), datetime(2024, 1, 1), UUID(int=1), fails),
    *([], (), set[str](), frozenset[str](), {}, object(), Surly(), MemoryBackend(), Unreadable()),
    *(Text("docs"), np.str_("docs"), np.float64("nan"), np.int64(-1), np.bool_(True), np.datetime64("NaT")),
    *(np.array([]), np.array(1.0), np.zeros((2, 3)), np.zeros((0, 2)), np.array(["a"]), np.array([None])),
    *(np.zeros((1, 2), complex), [np.array([1.0, 2.0])], [[]], [None], [{}], [[1]], ["a", "a"], [1, "a"]),
    *([math.nan, 1], [[math.inf, 1]], ["\ud800"], [Surly()], [Text("a")], [vk.Record("")], vk.Record("a")),
    *({"a": 1}, {1: 1}, {"": 1}, {"a\0": 1}, {"a": "\ud800"}, {"a": Surly()}, {"$and": 1}, {"$or": [1]}),
    *({"a": {"$in": 1}}, {"a": {"$eq": {}}}, {"a": {"$gt": None}}, {"$contains": ""}, {"$contains": 1}),
    *(vk.F("a") == 1, vk.HNSW(), [vk.Query()], [vk.Query(vector=[math.nan])], range(3), memoryview(b"x")),
    *(nested(wrap, 5000) for wrap in DEEP),
    *(nested(wrap, 40) for wrap in WIDE),
]  # fmt: skip
READ_ONCE: Final[list[Callable[[], Any]]] = [
    lambda: iter([]),
    lambda: iter([1]),
    lambda: (value for value in ["a", None]),
    lambda: (fails() if value == "b" else value for value in ["a", "b"]),
]
VALUES: Final[list[Callable[[], Any]]] = [*(lambda value=value: value for value in CONSTANTS), *READ_ONCE]


class Given:
    """A store with a collection `docs`, and what belongs to the arguments of a call."""

    def __init__(self, store: vk.VectorStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.embedder = HashEmbedder(8)
        self.other = vk.connect("memory:")
        self.renew()

    def renew(self) -> None:
        """Undo what a call did."""
        for store in (self.store, self.other):
            for info in store.list_collections():
                store.drop_collection(info.name)
        self.docs = self.store.create_collection("docs", embedder=self.embedder, text_index=True)
        self.docs.add(ids=["a", "b"], documents=["alpha", "beta"], metadatas=[{"n": 1}, {}])

    @cached_property
    def hits(self) -> list[vk.Hit]:
        return self.docs.search("alpha", include_embeddings=True)

    def path(self) -> Path:
        """Of a file that is not there."""
        return self.folder / uuid4().hex


def chroma_over_http(headers: Any = None, timeout: Any = None) -> ChromaBackend:
    """Where no server is; its other arguments cost an SSL context for each value that is taken."""
    return ChromaBackend("chroma+http://127.0.0.1:1", headers=headers, timeout=timeout)


OF_STORE: Final[dict[str, dict[str, Any]]] = {
    "create_collection": {"name": "new", "dimension": 2},
    "get_or_create_collection": {"name": "docs"},
    "get_collection": {"name": "docs"},
    "drop_collection": {"name": "docs"},
}
OF_COLLECTION: Final[dict[str, dict[str, Any]]] = {
    "add": {"ids": ["c"], "documents": ["gamma"]},
    "upsert": {"ids": ["a"], "documents": ["gamma"]},
    "update": {"ids": ["a"], "documents": ["gamma"]},
    "delete": {"ids": ["a"]},
    "search": {"query": "alpha"},
    "search_many": {"queries": ["alpha"]},
    "explain": {"query": "alpha"},
    "ingest": {"source": ["alpha"], "ids": "content"},
    "reembed": {"embedder": HashEmbedder(16)},
}
METHODS: Final = sorted(name for name, _ in inspect.getmembers(vk.Collection, callable) if not name.startswith("_"))
OF_CONDITION: Final = ("in_", "not_in", "exists", "contains", "not_contains", "__eq__", "__ne__", "__gt__", "__le__")


def all_alike(query: str, texts: Sequence[str]) -> list[float]:
    return [1.0] * len(texts)


def of_condition(name: str) -> Callable[[Given], Call]:
    return lambda _: (getattr(vk.F("a"), name), {})


FUNCTIONS: Final[dict[str, Callable[[Given], Call]]] = {
    "connect": lambda _: (vk.connect, {}),
    "VectorStore": lambda _: (vk.VectorStore, {}),
    "F": lambda _: (vk.F, {}),
    "HNSW": lambda _: (vk.HNSW, {}),
    "IVFFlat": lambda _: (vk.IVFFlat, {}),
    "embedder": lambda _: (vk.embedder, {"function": len, "dimension": 2, "name": "x"}),
    "HashEmbedder": lambda _: (HashEmbedder, {}),
    "HashEmbedder.embed_documents": lambda given: (given.embedder.embed_documents, {}),
    "HashEmbedder.embed_query": lambda given: (given.embedder.embed_query, {}),
    "CachedEmbedder": lambda given: (CachedEmbedder, {"embedder": given.embedder, "path": given.path()}),
    "OpenAIEmbedder": lambda _: (OpenAIEmbedder, {"api_key": "sk-012345678"}),
    "AsyncOpenAIEmbedder": lambda _: (AsyncOpenAIEmbedder, {"api_key": "sk-012345678"}),
    "MirrorBackend": lambda given: (
        vk.MirrorBackend,
        {"primary": MemoryBackend(), "secondary": MemoryBackend(), "journal": given.path()},
    ),
    "ChromaBackend": lambda _: (ChromaBackend, {"url": "chroma:"}),
    "ChromaBackend over HTTP": lambda _: (chroma_over_http, {}),
    "PgVectorBackend": lambda _: (PgVectorBackend, {"url": "postgresql://127.0.0.1:1/db"}),
    "diversify": lambda given: (vk.diversify, {"hits": given.hits}),
    "rerank": lambda given: (
        vk.rerank,
        {"query": "a", "hits": given.hits, "reranker": all_alike},
    ),
    "copy": lambda given: (vk.copy, {"source": given.store, "target": given.other}),
    "verify": lambda given: (vk.verify, {"source": given.store, "target": given.store}),
    "compare": lambda given: (
        vk.compare,
        {"first": given.store, "second": given.store, "queries": ["alpha"], "embedder": given.embedder},
    ),
    "lint": lambda given: (vk.lint, {"source": given.store}),
    **{f"F.{name}": of_condition(name) for name in OF_CONDITION},
}  # fmt: skip


def use(result: Any) -> None:
    """Read the first of what is returned lazily, and let go of what holds resources."""
    if hasattr(result, "__next__"):
        lazy: Iterator[object] = result
        list(itertools.islice(lazy, 3))
    elif hasattr(result, "close") and not isinstance(result, MemoryBackend):
        closed = result.close()
        if inspect.iscoroutine(closed):
            closed.close()


def parameters(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, each in inspect.signature(function).parameters.items() if each.kind not in kinds]


def refused(error: Exception) -> str | None:
    """What is wrong with an exception, if anything is."""
    if not isinstance(error, vk.VectorKitError):
        return f"{type(error).__name__}: {short(str(error))}"
    message = str(error)
    message.encode()  # can be printed
    return f"a message of {len(message):,} characters" if len(message) > 2000 else None


def walk(make: Callable[[Given], Call], given: Given) -> tuple[int, list[str]]:
    """Give each argument each value.

    Returns:
        How many pairs were tried, and what came out that should not.
    """
    tried, wrong = 0, list[str]()
    for parameter, value in itertools.product(parameters(make(given)[0]), VALUES):
        function, arguments = make(given)
        hostile = value()
        tried += 1
        try:
            use(function(**{**arguments, parameter: hostile}))
            given.renew()
        except Own:
            continue
        except Exception as error:
            if said := refused(error):
                wrong.append(f"{parameter}={short(hostile)}: {said}")
    return tried, wrong


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files that a value happens to name are the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def memory(tmp_path: Path) -> Given:
    return Given(vk.connect("memory:"), tmp_path)


@pytest.fixture(scope="module", params=["memory", "chroma"])
def given(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """A store of each kind, for all calls."""
    with vk.connect(f"{request.param}:") as store:
        yield Given(store, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_let_only_our_own_exceptions_out(
    name: str, memory: Given, record_property: Callable[[str, object], None]
) -> None:
    """8.2"""
    tried, wrong = walk(FUNCTIONS[name], memory)
    record_property("pairs", tried)
    assert wrong == []


@pytest.mark.parametrize("name", OF_STORE)
def test_stores_let_only_our_own_exceptions_out(
    name: str, given: Given, record_property: Callable[[str, object], None]
) -> None:
    """8.2"""
    tried, wrong = walk(lambda given: (getattr(given.store, name), OF_STORE[name]), given)
    record_property("pairs", tried)
    assert wrong == []


@pytest.mark.parametrize("name", METHODS)
def test_collections_let_only_our_own_exceptions_out(
    name: str, given: Given, record_property: Callable[[str, object], None]
) -> None:
    """8.2"""
    tried, wrong = walk(lambda given: (getattr(given.docs, name), OF_COLLECTION.get(name, {})), given)
    record_property("pairs", tried)
    assert wrong == []
