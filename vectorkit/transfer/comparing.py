"""The same queries asked of two stores, side by side: `compare`."""

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from vectorkit._narrow import is_dict, is_list, is_mapping
from vectorkit.collection import Collection
from vectorkit.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    EmbeddingError,
    InvalidArgumentError,
)
from vectorkit.intake import Intake
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.searching import Mode
from vectorkit.store import VectorStore, connect
from vectorkit.transfer.agreement import TOLERANCE, differences, overlap, tolerance
from vectorkit.transfer.opening import without_password
from vectorkit.types import EmbedderIdentity, FloatArray, Hit, Metric, Vector
from vectorkit.validation import check_between, short

__all__ = ["Answer", "Comparison", "Query", "QueryComparison", "Times", "compare", "read_queries"]

Store: TypeAlias = str | VectorStore | VectorBackend
"""A URL, a store or a backend."""

_MANY: Final = 10_000
"""The most hits that are compared."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask.

    Attributes:
        text: A text, or None if the vector says all.
        vector: A vector of the collection's dimension; None: the text is embedded.
        where: A filter for this query, besides the one for all.
    """

    text: str | None = None
    vector: Vector | None = None
    where: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a store said.

    Attributes:
        hits: Best first.
        milliseconds: How long the search took, without embedding the query.
    """

    hits: tuple[Hit, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class QueryComparison:
    """A query and both answers.

    Attributes:
        query: The text, or which vector it is.
        where: The filter, or None.
        first: The answer of the first store.
        second: Of the second.
        overlap: The share of hits that both have, 0 to 1.
        score_difference: The largest difference between the two scores of a hit that both have.
        differences: What goes beyond rules 6.5 and 7.5, a sentence each; A is the first store, B the second.
    """

    query: str
    where: Mapping[str, Any] | None
    first: Answer
    second: Answer
    overlap: float
    score_difference: float
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the answers are the same up to what the contract lets differ."""
        return not self.differences


class Times(NamedTuple):
    """How long the searches of a store took, in milliseconds.

    Attributes:
        p50: Half of them took no longer.
        p95: 95 of 100 took no longer.
    """

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All queries, and where they were asked.

    Attributes:
        first: The first store, without passwords.
        second: The second one.
        collection: The collection's name.
        metric: Its metric, in both.
        mode: What was ranked by.
        k: How many hits were asked for.
        queries: One each, in the order given.
    """

    first: str
    second: str
    collection: str
    metric: Metric
    mode: Mode
    k: int
    queries: tuple[QueryComparison, ...]

    @property
    def agrees(self) -> bool:
        """Whether all answers are the same up to what the contract lets differ."""
        return all(query.agrees for query in self.queries)

    @property
    def overlap(self) -> float:
        """The mean share of hits that both have."""
        return fmean(query.overlap for query in self.queries)

    @property
    def score_difference(self) -> float:
        """The largest difference between the two scores of a hit."""
        return max(query.score_difference for query in self.queries)

    @property
    def times(self) -> tuple[Times, Times]:
        """Of the first and the second store."""
        first = [query.first.milliseconds for query in self.queries]
        second = [query.second.milliseconds for query in self.queries]
        return Times(*np.percentile(first, [50, 95]).tolist()), Times(*np.percentile(second, [50, 95]).tolist())

    def to_json(self) -> dict[str, Any]:
        """All of it, without embeddings, as JSON has it."""
        first, second = self.times
        whole = asdict(self)
        for query in whole["queries"]:
            query["agrees"] = not query["differences"]
            for side in ("first", "second"):
                for hit in query[side]["hits"]:
                    del hit["embedding"]
        return {
            **whole,
            "agrees": self.agrees,
            "overlap": self.overlap,
            "score_difference": self.score_difference,
            "milliseconds": {"first": first._asdict(), "second": second._asdict()},
        }


def compare(
    first: Store,
    second: Store,
    queries: Sequence[str | Query],
    *,
    collection: str | None = None,
    k: int = 10,
    mode: Mode = "vector",
    where: Mapping[str, Any] | None = None,
    embedder: Embedder | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Comparison:
    """Ask two stores the same, and compare their answers.

    Each query is embedded once, so that both stores are given the very same vector. Both are asked the first query
    once before time is taken.

    Args:
        first: A URL as for `connect`, a store or a backend; what is handed in stays open.
        second: The same.
        queries: At least one: texts, or queries with a vector or a filter of their own.
        collection: The name of a collection that both have; may be left out if the first store has one alone.
        k: How many hits, 1 to 10,000.
        mode: See `Collection.search`; `"text"` needs no vectors.
        where: A filter on metadata for all queries.
        embedder: Makes vectors of texts, or the name or folder of a local model; left out, it is made from the identity
            that the collection was created with.
        progress: Called with the numbers of queries done and of all.

    Raises:
        InvalidArgumentError: Or a subclass: there is no query, or one is malformed, or another argument is.
        CollectionNotFoundError: A store has no such collection.
        CollectionMismatchError: Metric, dimension or embedder of the two differ, so that answers do not compare.
        EmbeddingError: A text is to be embedded, and the collection's embedder is not known or cannot be made here;
            give vectors, or an embedder.
        BackendError: What a store reports.
    """
    k = check_between(k, 1, _MANY, "k")
    asked = [Query(query) if isinstance(query, str) else query for query in queries]
    if not asked:
        raise InvalidArgumentError("there is no query to compare answers to; give at least one")
    with _opened(first) as (one, one_label), _opened(second) as (other, other_label):
        name = _only(one, one_label) if collection is None else collection
        sides = one.get_collection(name), other.get_collection(name)
        _check_alike(*sides)
        vectors = _vectors(asked, sides, mode, embedder)
        compared: list[QueryComparison] = []
        for at, (query, vector) in enumerate(zip(asked, vectors, strict=True)):
            if progress is not None:
                progress(at, len(asked))
            given: dict[str, Any] = {"k": k, "mode": mode, "where": _both(where, query.where)}
            given |= {"query": vector} if mode == "vector" else {"query": query.text}
            if mode == "hybrid":
                given["vector"] = vector
            if not at:
                for side in sides:
                    side.search(**given)
            answers = _answer(sides[0], given), _answer(sides[1], given)
            label = query.text if query.text is not None else f"vector of query {at + 1:,}"
            compared.append(_compared(label, given, answers, sides[0]))
        if progress is not None:
            progress(len(asked), len(asked))
        return Comparison(one_label, other_label, name, sides[0].info().metric, mode, k, tuple(compared))


def read_queries(file: str | Path) -> list[Query]:
    """Read queries, one a line that is not blank: a text, or a JSON object.

    Such an object is `{"query": "a text"}` or `{"vector": [0.1, …]}` or has both, and may have a filter as `"where"`.

    Raises:
        InvalidArgumentError: The file cannot be read, or holds no query, or a line is malformed; says which.
    """
    path = Path(file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{path} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
    found: list[Query] = []
    for at, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_query(line.strip()))
            except InvalidArgumentError as error:
                raise InvalidArgumentError(f"{path}, line {at:,}: {error}") from error
    if not found:
        raise InvalidArgumentError(f"{path} holds no query: write one a line")
    return found


def _query(line: str) -> Query:
    if not line.startswith("{"):
        return Query(line)
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidArgumentError(f"no JSON: {error}") from error
    keys = {"query", "vector", "where"}
    if not is_dict(row) or not row.keys() <= keys or not row.keys() & {"query", "vector"}:
        raise InvalidArgumentError(
            f'expected an object with "query" or "vector", and maybe "where", not one with {short(list(row))}'
        )
    text, vector, where = row.get("query"), row.get("vector"), row.get("where")
    if not isinstance(text, str | None) or not (vector is None or is_list(vector)):
        raise InvalidArgumentError('"query" is a string, "vector" a list of numbers')
    if not (where is None or is_mapping(where)):
        raise InvalidArgumentError('"where" is a filter: an object')
    filter = None if where is None else {str(key): value for key, value in where.items()}
    numbers: Any = vector  # what they are is checked by the search
    return Query(text, numbers, filter)


@contextmanager
def _opened(where: Store) -> Generator[tuple[VectorStore, str]]:
    with ExitStack() as opened:
        if isinstance(where, str):
            yield opened.enter_context(connect(where)), without_password(where)
        else:
            store = where if isinstance(where, VectorStore) else VectorStore(where)
            yield store, store.backend.name


def _only(store: VectorStore, label: str) -> str:
    names = [info.name for info in store.list_collections()]
    if not names:
        raise CollectionNotFoundError(f"{label} holds no collection")
    if len(names) > 1:
        raise InvalidArgumentError(f"{label} holds {len(names):,} collections: name one of {short(names, 400)}")
    return names[0]


def _check_alike(one: Collection, other: Collection) -> None:
    for what in ("metric", "dimension", "embedder"):
        here, there = getattr(one.info().spec, what), getattr(other.info().spec, what)
        if here != there and None not in (here, there):
            raise CollectionMismatchError(
                f"collection {one.name!r} has {what} {here!r} in the first store, {there!r} in the second: what they "
                "answer does not compare"
            )


def _vectors(
    queries: Sequence[Query], sides: tuple[Collection, Collection], mode: Mode, embedder: Embedder | str | None
) -> list[FloatArray | None]:
    """The vector of each query; None where there is to be none."""
    for at, query in enumerate(queries, 1):
        if query.text is None and (query.vector is None or mode != "vector"):
            raise InvalidArgumentError(
                f"query {at:,} has no text"
                + ("" if query.vector is None else f", and mode={mode!r} ranks by words; use mode='vector'")
            )
    if mode == "text":
        return [None] * len(queries)
    spec = next((side.info().spec for side in sides if side.info().spec.embedder), sides[0].info().spec)
    if isinstance(embedder, str | None) and any(query.vector is None for query in queries):
        embedder = _made(spec.embedder, embedder, sides[0].name)
    intake = Intake(spec, None if isinstance(embedder, str) else embedder)
    return [intake.query(query.text if query.vector is None else query.vector) for query in queries]


def _made(identity: EmbedderIdentity | None, model: str | None, name: str) -> Embedder:
    from vectorkit.embedders import SentenceTransformerEmbedder
    from vectorkit.embedders._by_identity import embedder_of

    if identity is not None:
        return embedder_of(identity, model=model)
    if model is None:
        raise EmbeddingError(
            f"collection {name!r} was made without an embedder, so it is not known what makes vectors of texts: name "
            "the model, or give queries as vectors, or compare by words alone"
        )
    return SentenceTransformerEmbedder(model)


def _both(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return {"$and": [one, other]} if one and other else one or other


def _answer(side: Collection, given: Mapping[str, Any]) -> Answer:
    began = time.perf_counter()
    hits = side.search(**given)
    return Answer(tuple(hits), 1000 * (time.perf_counter() - began))


def _compared(
    label: str, given: Mapping[str, Any], answers: tuple[Answer, Answer], side: Collection
) -> QueryComparison:
    ours, theirs = answers[0].hits, answers[1].hits
    by_distance, metric = given["mode"] == "vector", side.info().metric
    vectors: dict[str, FloatArray] = {}
    if by_distance and metric != "cosine":  # what is allowed depends on the norms; read after the time was taken
        found = side.get([hit.id for hit in ours], include_embeddings=True)
        vectors = {record.id: np.asarray(record.embedding, dtype=np.float32) for record in found}

    def place(hit: Hit) -> float:
        return hit.distance if by_distance and hit.distance is not None else -hit.score

    def allowed(hit: Hit) -> float:
        if by_distance:
            query: FloatArray = given["query"]
            return tolerance(metric, query, vectors.get(hit.id, query))
        return TOLERANCE * max(1.0, abs(hit.score))

    scores = {hit.id: hit.score for hit in ours}
    return QueryComparison(
        query=label,
        where=given["where"],
        first=answers[0],
        second=answers[1],
        overlap=overlap(ours, theirs),
        score_difference=max((abs(scores[hit.id] - hit.score) for hit in theirs if hit.id in scores), default=0.0),
        differences=tuple(differences(ours, theirs, ("A", "B"), place, allowed)),
    )
