"""The seams: `VectorBackend`, for what stores the records, and `Embedder`, for vectors of texts.

The facade (`vectorkit.store`) checks every argument, embeds, parses filters and applies `min_score`; what arrives
here is valid. What a method promises is in its docstring; the numbers are rules of the contract. Every method may
raise `BackendError` or one of its subclasses for what the store itself reports, with the client's exception as its
cause, and every method that takes a `CollectionInfo` raises `CollectionNotFoundError` when that very collection
(of that `generation`) is gone, also when another of its name has been created since (1.6).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NoReturn, Protocol, runtime_checkable

from vectorkit.backend.requests import HybridSearch, Read, Scan, TextSearch, VectorSearch
from vectorkit.errors import UnsupportedError
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

__all__ = ["OPTIONAL", "AsyncEmbedder", "Embedder", "VectorBackend"]


@runtime_checkable
class VectorBackend(Protocol):
    """A store of collections of vectors: derive from it, and write the methods up to `close`.

    The methods after `close` are optional: they raise `UnsupportedError` until they are written, and `capabilities`
    declares which ones are.

    May be used from many threads at once (9.3); after a fork, a child opens its own.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is, in a word or a few, for people (`"memory"`, `"postgresql 18.6, pgvector 0.8.6"`)."""
        ...

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """In what it differs from others (9.1)."""
        ...

    @abstractmethod
    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """Create a collection (1.2); several processes may do so at once.

        Raises:
            CollectionExistsError: The name is taken.
            UnsupportedError: The store cannot hold such a collection (its dimension, index or text index).
        """
        ...

    @abstractmethod
    def open_collection(self, name: str) -> CollectionInfo:
        """Return what is stored about a collection.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        ...

    @abstractmethod
    def list_collections(self) -> list[CollectionInfo]:
        """Return all collections that were created through this protocol, in ascending order of name."""
        ...

    @abstractmethod
    def drop_collection(self, name: str) -> None:
        """Drop a collection and all its records.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        ...

    @abstractmethod
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

    @abstractmethod
    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """Write records, replacing those of the same id as a whole (3.3).

        Arguments and errors are those of `add`, save that an id that is stored is no error.
        """
        ...

    @abstractmethod
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

    @abstractmethod
    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        """Read records (4.1).

        Returns:
            With `ids`, those found that match, in that order; without, in ascending order of id by code point.
            `limit` and `offset` cut that order.
        """
        ...

    @abstractmethod
    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        """Stream records in ascending order of id, at most `batch_size` at a time.

        Memory is bounded apart from the ids. Records written meanwhile may or may not be seen, none is seen twice
        (4.3). A stale collection raises when the first page is asked for.
        """
        ...

    @abstractmethod
    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """Return the number of records that match (4.2)."""
        ...

    @abstractmethod
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

    @abstractmethod
    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """Find the nearest records of each query (section 6).

        Returns:
            One ranking a query, its hits scored and ordered as by `vectorkit.ranking.rank`: min(k, matching records)
            of them whatever the index finds (6.1), and with `Ranking.exact` the first k of all that match (6.4).
        """
        ...

    @abstractmethod
    def close(self) -> None:
        """Release what the backend holds; calling it again does nothing. Other methods then raise `BackendError`."""
        ...

    # --- text: with `text_search` in the capabilities -----------------------------------------------------------
    #
    # Such a backend keeps, for collections with `spec.text_index`, the words of the documents in step with every write,
    # as one with it, also through handles that were opened before the index was made. It takes the words of a document
    # from `vectorkit.text.analyzer(spec.language)`, and their weights from `vectorkit.text`. The facade analyses the
    # queries, and searches only collections that have a text index.

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
        _refuse(f"{self.name} has no text search, so no text index can be made")

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        """Rank documents by BM25 (7.2).

        Returns:
            One list a query: the first k of all records that match and hold a word of the query, by score, equal
            scores by id; `score` is BM25, `distance` None.
        """
        _refuse(f"{self.name} has no text search; use mode='vector'")

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        """Find the candidates of a fusion (7.3): what `search` and `search_text` find, each with both scores.

        Returns:
            One list a query, in any order: the union of the first `fetch_k` of both rankings.
        """
        _refuse(f"{self.name} has no text search; use mode='vector'")

    # --- indexes that can be built, dropped and tuned while in use: with `index_changes` --------------------------

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
        _refuse(_index_fixed(self.name))

    def drop_index(self, collection: CollectionInfo) -> CollectionInfo:
        """Drop the index, if there is one: every search compares all records from then on.

        Returns:
            The collection, without an index.

        Raises:
            BackendError: It is being built.
        """
        _refuse(_index_fixed(self.name))

    def reindex(
        self, collection: CollectionInfo, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> CollectionInfo:
        """Build the index of a collection, which has one, anew; arguments, result and errors as of `create_index`."""
        _refuse(_index_fixed(self.name))

    def explain(self, collection: CollectionInfo, request: VectorSearch) -> Explanation:
        """Search as `search` does, with one query, and say how that went."""
        _refuse(_index_fixed(self.name))

    # --- others, each with a capability of its own ----------------------------------------------------------------

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """Give one collection the name of another, which is dropped (1.7); with `replacing`.

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
        _refuse(f"{self.name} cannot put one collection in the place of another")

    def measure_storage(self, collection: CollectionInfo) -> Storage:
        """Return how many bytes the collection takes, and how far its vector index is; with `storage_figures`."""
        _refuse(f"{self.name} does not say how many bytes a collection takes")

    def foreign_collections(self) -> list[ForeignCollection]:
        """Return the collections that other programs made, in ascending order of name; with `foreign_collections`."""
        _refuse(f"{self.name} cannot read collections that other programs made")

    def scan_foreign(self, name: str, *, after: str | None = None, batch_size: int = 1000) -> Iterator[list[Record]]:
        """Stream the records of one of them, with their vectors, as `scan` does.

        What is stored is returned as it is, whether rules 2.1 to 2.8 allow it or not; the vector may be None.

        Args:
            name: Which.
            after: Only records whose ids are greater.
            batch_size: The most records of a page.

        Raises:
            CollectionNotFoundError: There is none of that name that others made.
        """
        _refuse(f"{self.name} cannot read collections that other programs made")

    def get_foreign(self, name: str, ids: Sequence[str]) -> list[Record]:
        """Return those of these records that are there, with their vectors, in the order asked; errors as above."""
        _refuse(f"{self.name} cannot read collections that other programs made")


OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "text_search": ("create_text_index", "search_text", "search_hybrid"),
    "index_changes": ("create_index", "drop_index", "reindex", "explain"),
    "replacing": ("replace_collection",),
    "storage_figures": ("measure_storage",),
    "foreign_collections": ("foreign_collections", "scan_foreign", "get_foreign"),
}
"""The optional methods, by the capability that declares them."""


def _refuse(message: str) -> NoReturn:
    raise UnsupportedError(message)


def _index_fixed(name: str) -> str:
    return (
        f"the indexes of {name} cannot be changed after a collection was created, nor its searches explained; give "
        "create_collection the index wanted"
    )


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
