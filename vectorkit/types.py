"""The values that cross the public surface and the seam between the facade and the backends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from vectorkit.indexes import HNSW, Index

__all__ = [
    "Batch",
    "Candidate",
    "Capabilities",
    "CollectionInfo",
    "CollectionSpec",
    "ColumnType",
    "EmbedderIdentity",
    "Explanation",
    "FloatArray",
    "ForeignCollection",
    "Hit",
    "Json",
    "Metadata",
    "Metric",
    "Patch",
    "Ranking",
    "Record",
    "Storage",
    "Vector",
]

Metric: TypeAlias = Literal["cosine", "l2", "ip"]
"""How two vectors are compared; `vectorkit.ranking` has the formulas."""

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Any JSON value, in Python's types."""

ColumnType: TypeAlias = Literal["int", "float", "str", "bool", "date"]
"""The type of a typed column, as it is stored with a collection; `vectorkit.columns` has what a caller gives."""

Metadata: TypeAlias = dict[str, Json]

FloatArray: TypeAlias = NDArray[np.float32]

Vector: TypeAlias = Sequence[float] | NDArray[np.floating[Any]] | NDArray[np.integer[Any]]
"""What a caller may give as one embedding: `dimension` numbers."""


def _new_id() -> str:
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record, or one to be stored.

    Attributes:
        id: 1 to 512 characters. Left out, a UUID is generated.
        document: The text, or None; `""` and None are different.
        embedding: float32 array of shape `(dimension,)`. None in a record to be stored is embedded from the
            document; None in a record that was read means it was not asked for.
        metadata: A JSON object; in a record that was read always a dict.
    """

    id: str = field(default_factory=_new_id)
    document: str | None = None
    embedding: Vector | None = field(default=None, compare=False, repr=False)
    metadata: Metadata = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.

    Attributes:
        id: The record's id.
        score: Larger is better, in every metric.
        distance: Smaller is nearer, in every metric; None in a text search, which has no distance.
        document: The record's text, or None.
        metadata: The record's metadata, always a dict.
        embedding: float32 array of shape `(dimension,)` if it was asked for, else None.
    """

    id: str
    score: float
    distance: float | None
    document: str | None
    metadata: Metadata
    embedding: FloatArray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What decides which vector a text becomes; stored with a collection and checked when it is opened.

    Attributes:
        kind: The kind of embedder, such as `"sentence-transformers"`.
        model: The model's name.
        dimension: Length of the vectors, 1 to 16,000.
        query_prompt: Text put before a query.
        document_prompt: Text put before a document.
        normalize: Whether vectors are scaled to norm 1.
        revision: Revision or hash of the weights where known. It is recorded, but two identities that differ in
            it alone are the same embedder (with a warning).
    """

    kind: str
    model: str
    dimension: int
    query_prompt: str = ""
    document_prompt: str = ""
    normalize: bool = True
    revision: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a collection is created with. Of it the index can be changed afterwards, and a text index added.

    Attributes:
        name: 3 to 48 characters of `[a-zA-Z0-9_-]`, first and last one a letter or digit.
        metric: The metric.
        dimension: Length of the vectors, 1 to 16,000.
        embedder: Identity of the embedder, or None if the caller gives vectors.
        index: The vector index wanted, or None to compare all records in every search. A backend that has no index, and
            so compares them anyway, has nothing to choose.
        text_index: Whether there is a text index.
        language: Language of the text analysis, one of `vectorkit.text.LANGUAGES`.
        columns: Metadata keys to keep in typed columns too, for speed and for plain SQL. They change no result: a
            backend that has no columns has nothing to do, and need not store them.
    """

    name: str
    metric: Metric
    dimension: int
    embedder: EmbedderIdentity | None = None
    index: Index | None = field(default_factory=HNSW)
    text_index: bool = False
    language: str = "english"
    columns: Mapping[str, ColumnType] = field(default_factory=dict[str, ColumnType], hash=False)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection that exists, as its backend knows it; it is also the handle that record methods take.

    Attributes:
        spec: What it was created with.
        generation: Differs between two collections of the same name of which one was dropped.
        location: Where the records are, in the backend's own terms (a table, a collection id), for people.
    """

    spec: CollectionSpec
    generation: str
    location: str = ""

    @property
    def name(self) -> str:
        """The collection's name."""
        return self.spec.name

    @property
    def metric(self) -> Metric:
        """The collection's metric."""
        return self.spec.metric

    @property
    def dimension(self) -> int:
        """Length of the collection's vectors."""
        return self.spec.dimension


@dataclass(frozen=True, slots=True)
class ForeignCollection:
    """A collection that another program made in a store.

    Attributes:
        name: What it is called; maybe not a name by rule 1.1.
        metric: The metric by which its records are ordered in the same way.
        dimension: Length of its vectors; None if it has no record that would tell.
        count: How many records it has.
        identity: What tells it from another one of its name.
        remarks: What is not as this library would have made it, a sentence each.
        has_uris: Whether its records have URIs, which are read as the metadata `uri`.
    """

    name: str
    metric: Metric
    dimension: int | None
    count: int
    identity: str
    remarks: tuple[str, ...] = ()
    has_uris: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole records to write, column by column, checked; all columns have the same length `n`.

    Attributes:
        ids: Unique within the call that the batch is part of.
        documents: Texts or None.
        embeddings: C-contiguous float32 array of shape `(n, dimension)`, finite, of norms within the contract.
        metadatas: JSON objects within the contract's limits, free of NumPy scalars.
    """

    ids: list[str]
    documents: list[str | None]
    embeddings: FloatArray
    metadatas: list[Metadata]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Patch:
    """Columns to change on existing records, checked; a column that is None is left as it is.

    Attributes:
        ids: Unique within the call that the patch is part of.
        documents: New texts; None as an element removes the text.
        embeddings: C-contiguous float32 array of shape `(n, dimension)`.
        metadatas: New metadata objects.
        merge: Whether the keys of `metadatas` are set and the others stay, instead of replacing the whole.
    """

    ids: list[str]
    documents: list[str | None] | None
    embeddings: FloatArray | None
    metadatas: list[Metadata] | None
    merge: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer to one query.

    Attributes:
        hits: Ordered by distance, equal distances by id.
        exact: Whether every record that matches was compared (rule 6.7).
    """

    hits: list[Hit]
    exact: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was answered.

    Attributes:
        sql: The statements as they ran, without the values of their parameters.
        index: Name of the vector index that was used, or None.
        exact: Whether every record that matches was compared (rule 6.7).
        reason: Why the index was used, or not.
        rows_scanned: Rows that the scans of tables and indexes gave or looked at and left out.
        settings: The settings of the session for this search.
        milliseconds: Time that the server took to plan and run the statements.
        plan: The server's plan with what happened at each step, a line a step.
    """

    sql: str
    index: str | None
    exact: bool
    reason: str
    rows_scanned: int
    settings: Mapping[str, str]
    milliseconds: float
    plan: str

    def __str__(self) -> str:
        settings = ", ".join(f"{name} = {value}" for name, value in self.settings.items()) or "the server's"
        return "\n".join(
            (
                f"index     {self.index or 'not used'}: {self.reason}",
                f"answer    {'exact' if self.exact else 'approximate'}",
                f"scanned   {self.rows_scanned:,} rows in {self.milliseconds:.1f} ms",
                f"settings  {settings}",
                f"plan\n{_indented(self.plan)}",
                f"sql\n{_indented(self.sql)}",
            )
        )


@dataclass(frozen=True, slots=True)
class Storage:
    """What a collection takes of its store, and how far its vector index is.

    Attributes:
        records: Bytes of ids, documents, metadata and vectors, and of indexes other than the two below.
        vector_index: Bytes of the vector index; 0 if there is none yet.
        text_index: Bytes of the text index; 0 if there is none.
        index_state: `"none"`: the collection is to have no vector index; `"waiting"`: there are too few records for one
            to be of use; `"building"`; `"ready"`; `"missing"`: the next write makes it, or `Collection.create_index`.
        left_out: Rows of an adopted table that have a vector and cannot be records all the same (rule 2.8).
        left_out_ids: The ids of the first of them, of long ones the beginning.
    """

    records: int
    vector_index: int
    text_index: int
    index_state: Literal["none", "waiting", "building", "ready", "missing"]
    left_out: int = 0
    left_out_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that one side of a hybrid search found at least, with what both say of it (rule 7.3).

    Attributes:
        hit: The record, with the score and the distance of its vector.
        text_score: Its BM25 score; 0 if its document holds no word of the query.
        vector_rank: Its place in the vector ranking, from 1; None if it is not among the first.
        text_rank: Its place in the text ranking, from 1; None if it is not among the first.
    """

    hit: Hit
    text_score: float
    vector_rank: int | None
    text_rank: int | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """In what a backend differs from others; nothing here changes an expected result.

    Attributes:
        atomic_writes: Whether a write call of any size is all or nothing. If not, it is split, and a failure in a
            later part raises `PartialWriteError`.
        atomic_add: Whether `add` refuses an existing id also when another process adds it at the same time.
        approximate_search: Whether there is an index that search may use in place of comparing all records.
        text_search: Whether collections can have a text index, and be searched by words.
        persistent: Whether an acknowledged write survives the end of the process.
        multi_process: Whether several processes may use one store at once.
        metrics: The metrics that its collections can have.
        index_changes: Whether indexes can be built, dropped and tuned, and searches explained, while in use.
        replacing: Whether one collection can be put in the place of another.
        storage_figures: Whether it says how many bytes a collection takes.
        foreign_collections: Whether it reads collections that other programs made in the store.
    """

    atomic_writes: bool
    atomic_add: bool
    approximate_search: bool
    text_search: bool
    persistent: bool
    multi_process: bool
    metrics: tuple[Metric, ...] = ("cosine", "l2", "ip")
    index_changes: bool = False
    replacing: bool = False
    storage_figures: bool = False
    foreign_collections: bool = False


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
