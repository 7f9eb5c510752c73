"""The seams: `VectorBackend` and what a store may have besides it, and `Embedder`, for vectors of texts.

The facade (`vectorkit.store`) checks every argument, embeds, parses filters and applies `min_score`; what arrives
here is valid. What a method promises is in its docstring; the numbers are rules of the contract. Every method may
raise `BackendError` or one of its subclasses for what the store itself reports, with the client's exception as its
cause, and every method that takes a `CollectionInfo` raises `CollectionNotFoundError` when that very collection
(of that `generation`) is gone, also when another of its name has been created since (1.6).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from vectorkit.filters import Filter
from vectorkit.indexes import Index, IndexProgress
from vectorkit.types import (
    Batch,
    Candidate,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    EmbedderIdentity,
    Explanation,
    FloatArray,
    ForeignCollection,
    Hit,
    Patch,
    Ranking,
    Record,
    Storage,
)

__all__ = [
    "AsyncEmbedder",
    "Embedder",
    "ForeignCollections",
    "IndexedBackend",
    "MeasuredBackend",
    "ReplacingBackend",
    "TextSearchBackend",
    "VectorBackend",
]


@runtime_checkable
class VectorBackend(Protocol):
    """A store of collections of vectors.

    May be used from many threads at once (9.3); after a fork, a child opens its own.
    """

    @property
    def name(self) -> str:
        """What it is, in a word or a few, for people (`"memory"`, `"postgresql 18.6, pgvector 0.8.6"`)."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """In what it differs from others (9.1)."""
        ...

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """Create a collection (1.2); several processes may do so at once.

        Raises:
            CollectionExistsError: The name is taken.
            UnsupportedError: The store cannot hold such a collection (its dimension, index or text index).
        """
        ...

    def open_collection(self, name: str) -> CollectionInfo:
        """Return what is stored about a collection.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        ...

    def list_collections(self) -> list[CollectionInfo]:
        """Return all collections that were created through this protocol, in ascending order of name."""
        ...

    def drop_collection(self, name: str) -> None:
        """Drop a collection and all its records.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        ...

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """Write new records (3.2).

        Args:
            collection: Where to.
            batches: No id stands in them twice. If reading them raises, the exception passes through and nothing
                remains written; without `atomic_writes` in the capabilities, reading them does not raise.

        Raises:
            DuplicateIdError: Ids are stored already; lists at most ten of them. Nothing was written.
            PartialWriteError: A later part failed (never with `atomic_writes`).
        """
        ...

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """Write records, replacing those of the same id as a whole (3.3).

        Arguments and errors are those of `add`, save that an id that is stored is no error.
        """
        ...

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """Change the columns that the patches hold, on existing records (3.4).

        Args:
            collection: Where.
            patches: No id stands in them twice.

        Raises:
            RecordNotFoundError: Ids are not stored; lists at most ten of them. Nothing was written.
            PartialWriteError: A later part failed (never with `atomic_writes`).
        """
        ...

    def get(
        self,
        collection: CollectionInfo,
        *,
        ids: Sequence[str] | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
        include_embeddings: bool = False,
    ) -> list[Record]:
        """Read records (4.1).

        Args:
            collection: Where.
            ids: Each once; None means all records.
            where: None matches everything.
            limit: How many at the most, None for all.
            offset: How many to pass over first.
            include_embeddings: Whether the records hold their vectors, float32 arrays of shape `(dimension,)` equal
                to what was written within 1e-6 of its norm (6.10).

        Returns:
            With `ids`, those found that match, in that order; without, in ascending order of id by code point.
            `limit` and `offset` cut that order.
        """
        ...

    def scan(
        self,
        collection: CollectionInfo,
        *,
        where: Filter | None = None,
        after: str | None = None,
        batch_size: int = 1000,
        include_embeddings: bool = False,
    ) -> Iterator[list[Record]]:
        """Stream records in ascending order of id, at most `batch_size` at a time.

        Memory is bounded apart from the ids. Records written meanwhile may or may not be seen, none is seen twice
        (4.3). A stale collection raises when the first page is asked for.

        Args:
            collection: Where.
            where: None matches everything.
            after: Only records whose ids are greater, by code point; None: all. No such record need be there.
            batch_size: The most records of a page.
            include_embeddings: See `get`.
        """
        ...

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """Return the number of records that match (4.2)."""
        ...

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """Delete exactly the records that `get` with these arguments would return; missing ids are ignored (3.5).

        Returns:
            The number of records deleted.

        Raises:
            PartialWriteError: A later part failed; its `written` are the ids deleted (never with `atomic_writes`).
        """
        ...

    def search(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """Find the nearest records of each query (section 6).

        Args:
            collection: Where.
            queries: float32 array of shape `(m, dimension)`, m >= 1, checked like written vectors.
            k: >= 1.
            where: Decides before the cut which records take part; None: all do.
            exact: True: every record that matches is compared. None: as True if at most
                `vectorkit.ranking.EXACT_LIMIT` records match, else an index may be used. False: it may at any size.
            include_embeddings: Whether the hits hold their vectors.

        Returns:
            One ranking a query, its hits scored and ordered as by `vectorkit.ranking.rank`: min(k, matching records)
            of them whatever the index finds (6.1), and with `Ranking.exact` the first k of all that match (6.4).
        """
        ...

    def close(self) -> None:
        """Release what the backend holds; calling it again does nothing. Other methods then raise `BackendError`."""
        ...


@runtime_checkable
class ReplacingBackend(VectorBackend, Protocol):
    """A store that can put one collection in the place of another. What lacks the method implements nothing."""

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """Give one collection the name of another, which is dropped (1.7).

        All or nothing: if the process dies meanwhile, the name has either the old collection or the new one, whole,
        when the store is opened again. Handles of both are stale afterwards.

        Args:
            old: The collection that is dropped.
            new: The one that takes its name; another one.

        Returns:
            The new one under that name, with its own settings, records and generation.

        Raises:
            CollectionNotFoundError: One of the two is gone; the other one is as it was.
        """
        ...


@runtime_checkable
class MeasuredBackend(VectorBackend, Protocol):
    """A store that knows what a collection takes of it. What lacks the method implements nothing."""

    def measure_storage(self, collection: CollectionInfo) -> Storage:
        """Return how many bytes the collection takes, and how far its vector index is; see `Storage`."""
        ...


@runtime_checkable
class IndexedBackend(VectorBackend, Protocol):
    """A store whose vector indexes can be built and dropped while it is in use. What lacks them implements nothing."""

    def create_index(
        self,
        collection: CollectionInfo,
        index: Index,
        *,
        progress: Callable[[IndexProgress], object] | None = None,
    ) -> CollectionInfo:
        """Give a collection an index in place of the one it has, if any; nothing happens if it has this very one.

        The collection is searched, and right, meanwhile. Where there are too few records for an index to be of use, it
        is built as soon as there are enough.

        Args:
            collection: Which.
            index: The index.
            progress: Called now and then, in the calling thread; what it raises ends the building and passes through.

        Returns:
            The collection, with this index.

        Raises:
            UnsupportedError: The store has no such index, cannot hold vectors of this dimension in it, or cannot report
                its progress here.
            BackendError: An index of this collection is being built already.
        """
        ...

    def drop_index(self, collection: CollectionInfo) -> CollectionInfo:
        """Drop the index, if there is one: every search compares all records from then on.

        Returns:
            The collection, without an index.

        Raises:
            BackendError: It is being built.
        """
        ...

    def reindex(
        self, collection: CollectionInfo, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> CollectionInfo:
        """Build the index of a collection, which has one, anew; arguments, result and errors as of `create_index`."""
        ...

    def search_tuned(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        effort: int,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """As `search`, with a setting of the index for these queries alone.

        Args:
            collection: This and the other arguments, and the result, are those of `search`.
            queries: See `search`.
            k: See `search`.
            effort: `ef_search` of an HNSW index, 1 to 1,000; `probes` of an IVFFlat one, 1 to 32,768.
            where: See `search`.
            exact: None or False.
            include_embeddings: See `search`.
        """
        ...

    def explain(
        self,
        collection: CollectionInfo,
        query: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        effort: int | None = None,
    ) -> Explanation:
        """Search as `search` or `search_tuned` does, and say how that went.

        Args:
            collection: Where.
            query: float32 array of shape `(dimension,)`.
            k: See `search`.
            where: See `search`.
            exact: See `search`.
            effort: See `search_tuned`; None: the collection's own.
        """
        ...


@runtime_checkable
class ForeignCollections(VectorBackend, Protocol):
    """A store in which other programs make collections too, which can be read and copied. Others implement nothing."""

    def foreign_collections(self) -> list[ForeignCollection]:
        """Return those that were not created through this protocol, in ascending order of name."""
        ...

    def scan_foreign(self, name: str, *, after: str | None = None, batch_size: int = 1000) -> Iterator[list[Record]]:
        """Stream the records of one of them, with their vectors, as `VectorBackend.scan` does.

        What is stored is returned as it is, be it allowed by rules 2.1 to 2.8 or not; the vector may be None.

        Args:
            name: Which.
            after: Only records whose ids are greater.
            batch_size: The most records of a page.

        Raises:
            CollectionNotFoundError: There is none of that name that others made.
        """
        ...

    def get_foreign(self, name: str, ids: Sequence[str]) -> list[Record]:
        """Return those of these records that are there, with their vectors, in the order asked; errors as above."""
        ...


@runtime_checkable
class TextSearchBackend(VectorBackend, Protocol):
    """A store with text search (section 7): what a backend whose capabilities say `text_search` has besides.

    Such a backend keeps, for collections with `spec.text_index`, the words of the documents in step with every write,
    as one with it, also through handles that were opened before the index was made. It takes the words of a document
    from `vectorkit.text.analyzer(spec.language)`, and their weights from `vectorkit.text`. The facade analyses the
    queries, and calls these methods only on collections that have a text index.
    """

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        """Index the documents that are stored, and those written from now on (7.1).

        If it fails half-way, the collection has no text index, and this can be called again.

        Args:
            collection: Where. If it has a text index already, nothing happens.
            progress: Called now and then with the numbers of records done and of all; from 0, and at the end with
                both equal. What it raises passes through.

        Returns:
            The collection, its `spec.text_index` True; generation and records are the same.
        """
        ...

    def search_text(
        self,
        collection: CollectionInfo,
        queries: Sequence[Sequence[str]],
        k: int,
        *,
        where: Filter | None = None,
        include_embeddings: bool = False,
    ) -> list[list[Hit]]:
        """Rank documents by BM25 (7.2).

        Args:
            collection: Where.
            queries: The words of each query, after analysis, each word once; maybe none.
            k: >= 1.
            where: Decides before the cut which records take part, but not what a word weighs (7.4); None: all do.
            include_embeddings: Whether the hits hold their vectors.

        Returns:
            One list a query: the first k of all records that match and hold a word of the query, by score, equal
            scores by id; `score` is BM25, `distance` None.
        """
        ...

    def search_hybrid(
        self,
        collection: CollectionInfo,
        vectors: FloatArray,
        queries: Sequence[Sequence[str]],
        fetch_k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[list[Candidate]]:
        """Find the candidates of a fusion (7.3): what `search` and `search_text` find, each with both scores.

        Args:
            collection: Where.
            vectors: float32 array of shape `(m, dimension)`, one row a query, m >= 1.
            queries: As for `search_text`, m of them.
            fetch_k: How many of each ranking, >= 1.
            where: As for both.
            exact: As for `search`.
            include_embeddings: As for both.

        Returns:
            One list a query, in any order: the union of the first `fetch_k` of both rankings.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors of texts. May be used from many threads at once."""

    @property
    def identity(self) -> EmbedderIdentity:
        """What decides which vector a text becomes; stored with a collection and checked on open (1.4)."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored.

        Returns:
            float32 array of shape `(len(texts), dimension)`, in the order of the texts.

        Raises:
            EmbeddingError: A text cannot be embedded; the message says why, and `index` which.
        """
        ...

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with.

        Returns:
            float32 array of shape `(dimension,)`.

        Raises:
            EmbeddingError: The text cannot be embedded.
        """
        ...


@runtime_checkable
class AsyncEmbedder(Protocol):
    """Makes vectors of texts, asynchronously. May be used by many tasks of one event loop at once.

    Collections take an `Embedder`; with this one, embed first and give them the vectors. If the identities are
    equal, so are the vectors.
    """

    @property
    def identity(self) -> EmbedderIdentity:
        """What decides which vector a text becomes (1.4)."""
        ...

    async def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored.

        Returns:
            float32 array of shape `(len(texts), dimension)`, in the order of the texts.

        Raises:
            EmbeddingError: A text cannot be embedded; the message says which and why.
        """
        ...

    async def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with.

        Returns:
            float32 array of shape `(dimension,)`.

        Raises:
            EmbeddingError: The text cannot be embedded.
        """
        ...
