"""How good the answers of a store are on your own data: queries with judgements, asked in every mode.

The data are a folder in the layout of BEIR (https://github.com/beir-cellar/beir)::

    corpus.jsonl     {"_id": "d1", "title": "may be missing", "text": "…"}   a line a document
    queries.jsonl    {"_id": "q1", "text": "…"}                              a line a query
    qrels.tsv        query-id <tab> corpus-id <tab> score                    a header, then a line a judgement;
                                                                             or qrels/test.tsv, as BEIR has it
"""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple
from uuid import uuid4

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict
from vectorkit.embedding import embed_query
from vectorkit.errors import InvalidArgumentError
from vectorkit.fusion import Fusion
from vectorkit.protocol import Embedder
from vectorkit.searching import Mode
from vectorkit.store import VectorStore
from vectorkit.types import Hit
from vectorkit.validation import check_id, check_share, check_text, short

__all__ = ["CUT", "WEIGHTS", "Dataset", "Outcome", "Quality", "evaluate", "quality", "read_dataset"]

CUT: Final = 10
"""How many hits of a query are judged."""

WEIGHTS: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Weights of the vectors that are tried in hybrid search, where no others are given."""

_HEADER: Final = "query-id\tcorpus-id\tscore"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents, queries, and which documents answer which query.

    Attributes:
        documents: Texts by id.
        queries: Texts by id, of the queries that a document answers.
        judgements: By query and document a grade, 0 (no answer) or larger (the larger, the better).
    """

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, int]]


class Quality(NamedTuple):
    """How good rankings are; each is from 0 to 1, the larger the better, and a mean over queries if there are several.

    Attributes:
        ndcg: nDCG@10: gain `2**grade - 1`, discount `log2(rank + 1)`, relative to the best ranking there could be
            (Burges et al., Learning to Rank using Gradient Descent, 2005). trec_eval, and so BEIR's tables, take the
            grade itself as the gain, which is the same where grades are 0 and 1.
        recall: Recall@10: the share of the documents with a grade above 0 that are among the first ten.
        mrr: MRR@10: `1 / rank` of the first document with a grade above 0; 0 if it is not among the first ten.
    """

    ndcg: float
    recall: float
    mrr: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of one way to search.

    Attributes:
        mode: What was ranked by.
        fusion: How a hybrid search made one ranking of two; else None.
        weight: Of the vectors in a weighted hybrid search; else None.
        quality: Means over all queries.
    """

    mode: Mode
    fusion: Fusion | None
    weight: float | None
    quality: Quality


def quality(ids: Sequence[str], grades: Mapping[str, int]) -> Quality:
    """How good the ranking of one query is.

    Args:
        ids: Of the documents found, best first; the first ten count.
        grades: Judgements by document, at least one above 0; what has none counts as 0.
    """
    found = [grades.get(id, 0) for id in ids[:CUT]]
    relevant = sum(grade > 0 for grade in grades.values())
    return Quality(
        ndcg=_gain(found) / _gain(sorted(grades.values(), reverse=True)[:CUT]),
        recall=sum(grade > 0 for grade in found) / relevant,
        mrr=next((1.0 / rank for rank, grade in enumerate(found, 1) if grade > 0), 0.0),
    )


def evaluate(
    store: VectorStore,
    dataset: Dataset,
    embedder: Embedder,
    *,
    weights: Sequence[float] = WEIGHTS,
    language: str = "english",
    on_search: Callable[[int, int], object] | None = None,
) -> list[Outcome]:
    """Ask all queries in every mode: by vectors, by words, and by both with each weight and by reciprocal ranks.

    The documents are written into a collection of its own, which is dropped at the end, whatever happens.

    Args:
        store: Where to ask; what it holds is left alone.
        dataset: What to ask, and which answers are right.
        embedder: Makes the vectors of documents and queries, once each.
        weights: Of the vectors in hybrid search, from 0 to 1 each.
        language: Of the documents, as for `VectorStore.create_collection`.
        on_search: Called with the numbers of ways to search that are done and of all.

    Returns:
        One outcome a way to search, in this order: vector, text, hybrid by ascending weight, hybrid by `"rrf"`.

    Raises:
        InvalidArgumentError: A weight is out of range, or the language unknown.
        UnsupportedError: The store has no text search.
        EmbeddingError: The embedder failed.
    """
    shares = sorted({check_share(each, "weight") for each in weights})
    ways = [
        *(_Way("vector"), _Way("text")),
        *(_Way("hybrid", "weighted", weight) for weight in shares),
        _Way("hybrid", "rrf"),
    ]
    texts = list(dataset.queries.values())
    name = f"evaluation-{uuid4().hex[:12]}"
    outcomes: list[Outcome] = []
    docs = store.create_collection(name, embedder=embedder, text_index=True, language=language)
    try:
        docs.add(ids=list(dataset.documents), documents=list(dataset.documents.values()))
        vectors = [embed_query(embedder, docs.info().spec, text)[0] for text in texts]
        for done, way in enumerate(ways):
            if on_search is not None:
                on_search(done, len(ways))
            given: dict[str, Any] = {"mode": way.mode}
            if way.mode == "hybrid":
                given |= {"vectors": vectors, "fusion": way.fusion}
            if way.weight is not None:
                given["weight"] = way.weight
            found = docs.search_many(vectors if way.mode == "vector" else texts, CUT, **given)
            outcomes.append(Outcome(*way, _mean(found, dataset)))
    finally:
        store.drop_collection(name)
    return outcomes


def read_dataset(folder: str | Path) -> Dataset:
    """Read a folder in the layout of BEIR. A document is its title and its text, unless that begins with the title.

    Raises:
        InvalidArgumentError: A file is missing, or malformed; the message has the file and the line.
    """
    folder = Path(folder)
    documents, queries = (_texts(folder / name) for name in ("corpus.jsonl", "queries.jsonl"))
    judged = next((folder / name for name in ("qrels.tsv", "qrels/test.tsv") if (folder / name).exists()), None)
    if judged is None:
        raise InvalidArgumentError(f"there is no file of judgements {folder / 'qrels.tsv'} (or qrels/test.tsv)")
    judgements: dict[str, dict[str, int]] = {}
    for at, line in _lines(judged):
        with _at(judged, at):
            if at == 1:
                if line != _HEADER:
                    raise InvalidArgumentError(f"expected the header {_HEADER!r}, not {short(line)}")
                continue
            query, document, grade = _judgement(line)
            for id, known, file in ((query, queries, "queries.jsonl"), (document, documents, "corpus.jsonl")):
                if id not in known:
                    raise InvalidArgumentError(f"{short(id)} is judged, but not in {file}")
            if judgements.setdefault(query, {}).setdefault(document, grade) != grade:
                raise InvalidArgumentError(f"{short(document)} is judged for query {short(query)} before, otherwise")
    answered = {id: text for id, text in queries.items() if any(judgements.get(id, {}).values())}
    if not answered:
        raise InvalidArgumentError(f"{judged} has no judgement above 0, so there is nothing that a search should find")
    return Dataset(documents, answered, {id: judgements[id] for id in answered})


class _Way(NamedTuple):
    mode: Mode
    fusion: Fusion | None = None
    weight: float | None = None


def _mean(found: Sequence[Sequence[Hit]], dataset: Dataset) -> Quality:
    each = [
        quality([hit.id for hit in hits], dataset.judgements[query])
        for query, hits in zip(dataset.queries, found, strict=True)
    ]
    return Quality(*map(fmean, zip(*each, strict=True)))


def _gain(grades: Sequence[int]) -> float:
    return sum((2.0**grade - 1.0) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _texts(file: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for at, line in _lines(file):
        with _at(file, at):
            id, text = _row(line)
            if id in texts:
                raise InvalidArgumentError(f"the id {short(id)} stands in an earlier line, too")
            texts[id] = text
    return texts


def _row(line: str) -> tuple[str, str]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InvalidArgumentError(f"no JSON: {error}") from error
    if not is_dict(row) or not {"_id", "text"} <= set(row):
        raise InvalidArgumentError(f'expected an object with "_id" and "text", not {short(row)}')
    title, text = row.get("title", ""), row["text"]
    if not isinstance(title, str) or not isinstance(text, str):
        raise InvalidArgumentError('"title" and "text" are strings')
    document = text if text.startswith(title) else f"{title} {text}"
    check_text(document, "the text")
    return check_id(row["_id"]), document


def _judgement(line: str) -> tuple[str, str, int]:
    parts = line.split("\t")
    if len(parts) != 3 or not parts[2].isdecimal() or len(parts[2]) > 2:
        raise InvalidArgumentError(
            f"expected the ids of a query and a document and a grade from 0 to 99, with tabs between, not {short(line)}"
        )
    return parts[0], parts[1], int(parts[2])


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        with file.open(encoding="utf-8") as lines:
            for at, line in enumerate(lines, 1):
                if not line.isspace():
                    yield at, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{file} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise InvalidArgumentError(f"{file} cannot be read: {error.strerror}") from error


@contextmanager
def _at(file: Path, line: int) -> Generator[None]:
    """Say in the message of an error where the data are wrong."""
    try:
        yield
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{file}, line {line:,}: {error}") from error
