"""Hypothesis strategies for what the contract allows: metadata, filters, and whole workloads of calls."""

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from vectorkit.types import Json, Metadata, Metric

__all__ = ["DIMENSION", "Call", "Workload", "filters", "json_values", "metadata", "workloads"]

DIMENSION: Final = 3
"""Of the vectors in a workload."""

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
_FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [1e16, 1e22, 1e300, 5e-324, -0.0, 0.1, 1e15]
)
_SCALARS = st.none() | st.booleans() | _INTEGERS | _FLOATS | _TEXTS


def json_values() -> st.SearchStrategy[Json]:
    """Any JSON value that rule 2.5 allows, of moderate size."""
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=3),
        max_leaves=8,
    )


def metadata() -> st.SearchStrategy[Metadata]:
    """Any metadata object that rule 2.5 allows, of moderate size."""
    keys = _TEXTS.filter(lambda key: bool(key) and not key.startswith(("$", "#", "_vk", "chroma:")))
    return st.dictionaries(keys, json_values(), max_size=5)


# --- workloads: few ids, keys and values, so that they meet ----------------------------------------------------------

_IDS = ["a", "b", "c", "d", "e", "A", "a ", "é", "e\u0301", "10", "9"]
_KEYS = ["k", "k", "K", "k.l"]  # one of them often, so that filters meet values
_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    -1,
    0.5,
    2**53,
    2**53 + 1,
    float(2**53),
    "",
    "a",
    "A",
    "b",
    "1",
    "a%",
]
_DOCUMENTS = [None, "", "a", "A", "ab", "a%b", "b a", "a a"]
_QUERIES = ["a", "b", "ab", "a b", "%", "c"]
_TYING = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, -1], [2, 0, 0], [1, 1, 0]]
"""Vectors of which several are equally far from most queries, under each metric."""


@dataclass(frozen=True)
class Call:
    """One call of a method of `Collection`."""

    method: str
    arguments: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.method}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True)
class Workload:
    """Calls to be made one after the other on a new collection of `DIMENSION` dimensions."""

    metric: Metric
    calls: list[Call]


def _values() -> st.SearchStrategy[Any]:
    scalars = st.sampled_from(_VALUES)
    nested: list[Any] = [{"l": 1}, [[1], {"l": 1}]]
    return st.one_of(scalars, scalars, scalars, st.lists(scalars, max_size=3) | st.sampled_from(nested))


def _vectors() -> st.SearchStrategy[list[int]]:
    """Small integers: exact in float32, mostly tied, and never zero, which `cosine` refuses."""
    return st.sampled_from(_TYING) | st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION).filter(any)


def filters() -> st.SearchStrategy[dict[str, Any]]:
    """Filters on the keys and values of a workload."""
    scalars = st.sampled_from(_VALUES)
    ordered = scalars.filter(lambda value: value is not None and not isinstance(value, bool))
    condition = st.one_of(
        scalars,
        st.fixed_dictionaries({}, optional={"$eq": scalars, "$ne": scalars}).filter(bool),
        st.fixed_dictionaries({}, optional={"$gt": ordered, "$lte": ordered}).filter(bool),
        st.fixed_dictionaries({}, optional={"$gte": ordered, "$lt": ordered}).filter(bool),
        st.fixed_dictionaries({"$in": st.lists(scalars, max_size=4)}),
        st.fixed_dictionaries({"$nin": st.lists(scalars, max_size=4)}),
        st.fixed_dictionaries({"$exists": st.booleans()}),
        st.fixed_dictionaries({"$contains": scalars}),
        st.fixed_dictionaries({"$not_contains": scalars}),
    )
    leaves = st.dictionaries(st.sampled_from(_KEYS), condition, min_size=1, max_size=2)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"$and": st.lists(inner, max_size=3)}),
            st.fixed_dictionaries({"$or": st.lists(inner, max_size=3)}),
            st.fixed_dictionaries({"$not": inner}),
        ),
        max_leaves=4,
    )


def _document_filters() -> st.SearchStrategy[dict[str, Any]]:
    text = st.sampled_from(["a", "b", "%", " ", "A"])
    leaf = st.fixed_dictionaries({"$contains": text}) | st.fixed_dictionaries({"$not_contains": text})
    return leaf | st.fixed_dictionaries({"$not": leaf}) | st.fixed_dictionaries({"$or": st.lists(leaf, max_size=2)})


def _column(values: st.SearchStrategy[Any], size: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=size, max_size=size)


@st.composite
def _writes(draw: st.DrawFn, *, every_column: bool, least: int = 1) -> dict[str, Any]:
    longest = 8 if every_column else 2  # most updates should meet records that are there
    ids = draw(st.lists(st.sampled_from(_IDS), min_size=least, max_size=longest, unique=True))
    objects = st.dictionaries(st.sampled_from(_KEYS), _values(), max_size=3)
    columns: dict[str, st.SearchStrategy[Any]] = {
        "embeddings": _column(_vectors(), len(ids)),
        "documents": _column(st.sampled_from(_DOCUMENTS), len(ids)),
        "metadatas": _column(objects | objects | objects | st.none(), len(ids)),
    }
    given = {name: draw(column) for name, column in columns.items() if name == "embeddings" or draw(st.integers(0, 3))}
    if not every_column and "documents" not in given and draw(st.booleans()):
        given.pop("embeddings")  # an update need not give vectors, unless documents would be embedded
        given.setdefault("metadatas", draw(columns["metadatas"]))
    return {"ids": ids, **given}


@st.composite
def _calls(draw: st.DrawFn) -> Call:
    method = draw(st.sampled_from(["add", "upsert", *["update", "get"] * 2, "delete", "count", *["search"] * 6]))
    if method in ("add", "upsert"):
        return Call(method, draw(_writes(every_column=True)))
    if method == "update":
        return Call(method, {**draw(_writes(every_column=False)), "merge": draw(st.booleans())})
    arguments: dict[str, Any] = {}
    if draw(st.booleans()):
        arguments["where"] = draw(filters())
    if draw(st.integers(0, 2)) == 0:
        arguments["where_document"] = draw(_document_filters())
    if method == "search":
        arguments["k"] = draw(st.integers(1, 4) | st.just(12))
        if draw(st.integers(0, 2)):
            return Call(method, {"query": draw(_vectors()), **arguments})
        arguments |= {"query": draw(st.sampled_from(_QUERIES)), "mode": draw(st.sampled_from(["text", "hybrid"]))}
        if arguments["mode"] == "hybrid":
            arguments |= {"vector": draw(_vectors()), "weight": draw(st.sampled_from([0.0, 0.4, 0.7, 1.0]))}
        return Call(method, arguments)
    if method == "count":
        return Call(method, arguments)
    if draw(st.booleans()) or not arguments:
        arguments["ids"] = draw(st.lists(st.sampled_from(_IDS), max_size=5))
    if method == "get":
        arguments |= {"limit": draw(st.none() | st.integers(0, 6)), "offset": draw(st.integers(0, 3))}
    return Call(method, arguments)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """A metric, a first upsert, and then any calls in any order."""
    metric: Metric = draw(st.sampled_from(["cosine", "l2", "ip"]))
    first = Call("upsert", draw(_writes(every_column=True, least=5)))
    return Workload(metric, [first, *draw(st.lists(_calls(), min_size=8, max_size=20))])
