"""`Collection`: what a user holds of a collection."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit import text
from vectorkit._narrow import is_array, is_iterable, is_mapping
from vectorkit.backend.requests import Read, Scan, VectorSearch
from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.fusion import Fusion, fuse
from vectorkit.indexes import HNSW, IndexChoice, IndexProgress, as_index, check_metric
from vectorkit.ingest import BATCH, IDS, Ids, Run, as_batch_size
from vectorkit.inspection import Recall, measure_recall
from vectorkit.intake import Intake, spooled
from vectorkit.metadata import as_metadata
from vectorkit.progress import Ingested, Progress, length_of, reporting
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.pruning import as_pruning
from vectorkit.reembed import WithoutDocument, reembed
from vectorkit.searching import (
    MANY,
    Mode,
    SearchOptions,
    Where,
    as_count,
    as_filter,
    as_texts,
    as_vectors,
    check_effort,
    check_search,
    check_text_index,
    finish_texts,
    finish_vectors,
    words_of,
)
from vectorkit.types import Batch, CollectionInfo, Explanation, FloatArray, Hit, Json, Patch, Record, Storage, Vector
from vectorkit.validation import as_list, check_between, check_choice, check_flag, check_id

__all__ = ["Collection"]

Vectors: TypeAlias = Sequence[Vector | None] | NDArray[Any]
"""One vector a record, as a 2-d array or row by row; None for one that is to be embedded."""


class Collection:
    """Records of one dimension and metric; made by `VectorStore`.

    Every method may raise `CollectionNotFoundError`, when this very collection was dropped, and `BackendError`.

    A method checks its arguments, makes a request of them, calls the backend and finishes the answer.

    Args:
        backend: Where the collection is.
        info: The collection; its index is kept up to date.
        embedder: Makes vectors of texts.
    """

    def __init__(self, backend: VectorBackend, info: CollectionInfo, embedder: Embedder | None) -> None:
        self._backend = backend
        self._info = info
        self._intake = Intake(info.spec, embedder)

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {self._info.metric}, dimension={self._info.dimension}, {self._backend!r})"

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._info.name

    @property
    def embedder(self) -> Embedder | None:
        """The embedder it was opened with."""
        return self._intake.embedder

    def info(self) -> CollectionInfo:
        """Return what the collection was created with, its index as this object knows it, and where its records are."""
        return self._info

    def add(
        self,
        *,
        ids: Sequence[str] | None = None,
        documents: Sequence[str | None] | None = None,
        embeddings: Vectors | None = None,
        metadatas: Sequence[Mapping[str, Json] | None] | None = None,
        records: Iterable[Record] | None = None,
    ) -> list[str]:
        """Write new records.

        Args:
            ids: One a record; UUIDs are made if left out.
            documents: Texts; embedded where no embedding is given.
            embeddings: Vectors of `dimension` numbers each, kept as float32; None for one to be embedded.
            metadatas: JSON objects.
            records: Rows in place of the columns. A list is checked whole before anything is written, any other
                iterable is read as a stream, in bounded memory.

        Returns:
            The ids, in the order given.

        Raises:
            DuplicateIdError: An id is given twice, or stored already. Nothing was written.
            InvalidArgumentError: Or a subclass (id, document, vector, metadata); nothing was written.
            EmbeddingError: Documents could not be embedded; nothing was written.
            PartialWriteError: On a backend without atomic writes, a later part failed.
        """
        return self._write(self._backend.add, self._intake.batches(ids, documents, embeddings, metadatas, records))

    def upsert(
        self,
        *,
        ids: Sequence[str] | None = None,
        documents: Sequence[str | None] | None = None,
        embeddings: Vectors | None = None,
        metadatas: Sequence[Mapping[str, Json] | None] | None = None,
        records: Iterable[Record] | None = None,
    ) -> list[str]:
        """Write records; one that is stored under an id is replaced as a whole.

        Arguments, result and errors are those of `add`, save that a stored id is no error.
        """
        return self._write(self._backend.upsert, self._intake.batches(ids, documents, embeddings, metadatas, records))

    def update(
        self,
        *,
        ids: Sequence[str] | None = None,
        documents: Sequence[str | None] | None = None,
        embeddings: Vectors | None = None,
        metadatas: Sequence[Mapping[str, Json] | None] | None = None,
        records: Iterable[Record] | None = None,
        merge: bool = False,
    ) -> None:
        """Change columns of records that are stored; columns that are not given stay.

        Args:
            ids: Which records.
            documents: New texts, embedded unless `embeddings` is given too. None removes the text, not the vector.
            embeddings: New vectors; None for one to be embedded from the document, given or stored.
            metadatas: New metadata objects; None is `{}`.
            records: Rows in place of the columns; all four columns are then given.
            merge: Set the keys given and keep the others, instead of replacing the metadata.

        Raises:
            RecordNotFoundError: An id is not stored; nothing was written.
            DuplicateIdError: An id is given twice; nothing was written.
            InvalidArgumentError: Or a subclass (id, document, vector, metadata); nothing was written.
            EmbeddingError: Documents could not be embedded; nothing was written.
            PartialWriteError: On a backend without atomic writes, a later part failed.
        """
        check_flag(merge, "merge")
        patches = self._intake.patches(ids, documents, embeddings, metadatas, records, merge=merge, stored=self._stored)
        if merge:
            self._check_merged(patches)
        if patches:
            self._backend.update(self._info, patches)

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
    ) -> int:
        """Delete exactly the records that `get` with these arguments would return.

        Args:
            ids: Which; missing ones are ignored.
            where: Filter on metadata; with `ids`, both must hold.
            where_document: Filter on documents.

        Returns:
            The number of records deleted.

        Raises:
            InvalidArgumentError: Neither ids nor a filter is given, or only an empty filter.
            InvalidIdError: An id is not allowed.
            InvalidFilterError: A filter is malformed.
        """
        wanted = _ids(ids)
        tree = as_filter(where, where_document)
        if wanted is None and not _says_something(where) and not _says_something(where_document):
            raise InvalidArgumentError(
                "delete needs ids= or a filter that is not empty; to delete everything, drop the collection"
            )
        return 0 if wanted == [] else self._backend.delete(self._info, ids=wanted, where=tree)

    def get(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        include_embeddings: bool = False,
    ) -> list[Record]:
        """Read records.

        Args:
            ids: Which; None for all. A repeated id counts once.
            where: Filter on metadata.
            where_document: Filter on documents, such as `{"$contains": "text"}`.
            limit: How many at the most; None for all.
            offset: How many to pass over first.
            include_embeddings: Whether records hold their vectors.

        Returns:
            With `ids`, those found that match, in that order; without, in ascending order of id by code point.

        Raises:
            InvalidIdError: An id is not allowed.
            InvalidFilterError: A filter is malformed.
            InvalidArgumentError: `limit` or `offset` is not an int >= 0.
        """
        wanted = _ids(ids)
        where = as_filter(where, where_document)
        limit = None if limit is None else as_count(limit, "limit")
        offset = as_count(offset, "offset")
        check_flag(include_embeddings, "include_embeddings")
        if limit == 0 or wanted == []:
            return []
        return self._backend.get(self._info, Read(wanted, where, limit, offset, include_embeddings))

    def scan(
        self,
        where: Where | None = None,
        *,
        where_document: Mapping[str, Any] | None = None,
        batch_size: int = 1000,
        include_embeddings: bool = False,
    ) -> Iterator[Record]:
        """Stream records in ascending order of id, in memory bounded apart from the ids.

        Records written meanwhile may or may not be seen, none is seen twice.

        Args:
            where: Filter on metadata.
            where_document: Filter on documents.
            batch_size: How many records to fetch at once, >= 1.
            include_embeddings: Whether records hold their vectors.

        Raises:
            InvalidFilterError: A filter is malformed.
            InvalidArgumentError: `batch_size` is not an int >= 1.
        """
        tree = as_filter(where, where_document)
        batch_size = as_batch_size(batch_size)
        check_flag(include_embeddings, "include_embeddings")
        pages = self._backend.scan(self._info, Scan(tree, None, batch_size, include_embeddings))
        return (record for page in pages for record in page)

    def count(self, where: Where | None = None, *, where_document: Mapping[str, Any] | None = None) -> int:
        """Return the number of records that match.

        Raises:
            InvalidFilterError: A filter is malformed.
        """
        return self._backend.count(self._info, as_filter(where, where_document))

    def search(
        self,
        query: str | Vector,
        k: int = 10,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        mode: Mode = "vector",
        min_score: float | None = None,
        exact: bool | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
        include_embeddings: bool = False,
        weight: float = 0.7,
        fusion: Fusion = "weighted",
        fetch_k: int | None = None,
        vector: Vector | None = None,
    ) -> list[Hit]:
        """Find the records that are nearest, or whose documents hold the words, or both.

        Args:
            query: A text, embedded by the collection's embedder, or, with `mode="vector"`, a vector of `dimension`
                numbers.
            k: How many, >= 0.
            where: Filter on metadata; decides before the cut which records take part.
            where_document: Filter on documents.
            mode: `"vector"`: by distance; `"text"`: by BM25, without an embedder; `"hybrid"`: by a fusion of both.
                The last two need a text index.
            min_score: Leave out hits with a lower score.
            exact: True: compare with every record that matches. None: do so if at most 2,000 match, else an index
                may be used. False: an index may be used at any size. A text ranking is always exact.
            ef_search: Candidates that this search looks at in an HNSW index, 1 to 1,000; with `mode="vector"`.
            probes: Lists that this search looks at in an IVFFlat index, 1 to 32,768; with `mode="vector"`.
            include_embeddings: Whether hits hold their vectors.
            weight: Of the vectors in a weighted hybrid search, from 0 to 1; the words have the rest.
            fusion: How a hybrid search makes one ranking of two: `"weighted"` by their scores, `"rrf"` by reciprocal
                ranks.
            fetch_k: How many records of each ranking a hybrid search fuses, >= k; `max(100, 4 * k)` if left out.
            vector: The query's vector in a hybrid search, in place of embedding the query.

        Returns:
            Hits, best first, equal ones by id; `k` of them if so many match (with `mode="text"`: if so many hold a
            word of the query).

        Raises:
            InvalidVectorError: The query vector is not allowed (`DimensionMismatchError`: it has another length).
            EmbeddingError: A text query, and no embedder; or it failed.
            InvalidFilterError: A filter is malformed.
            InvalidArgumentError: Another argument is.
            UnsupportedError: The mode needs a text index that the collection lacks, or `ef_search` or `probes` an index
                that it, or the backend, lacks.
        """
        return self.search_many(
            query[np.newaxis] if is_array(query) and query.ndim == 1 else [query],
            k,
            where=where,
            where_document=where_document,
            mode=mode,
            min_score=min_score,
            exact=exact,
            ef_search=ef_search,
            probes=probes,
            include_embeddings=include_embeddings,
            weight=weight,
            fusion=fusion,
            fetch_k=fetch_k,
            vectors=None if vector is None else [vector],
        )[0]

    def search_many(
        self,
        queries: Sequence[str | Vector] | NDArray[Any],
        k: int = 10,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        mode: Mode = "vector",
        min_score: float | None = None,
        exact: bool | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
        include_embeddings: bool = False,
        weight: float = 0.7,
        fusion: Fusion = "weighted",
        fetch_k: int | None = None,
        vectors: Sequence[Vector] | NDArray[Any] | None = None,
    ) -> list[list[Hit]]:
        """Search with several queries; equals `[search(query, …) for query in queries]`.

        Args:
            queries: Texts, or vectors, or a 2-d array of vectors.
            k: This and the other arguments, and the errors, are those of `search`.
            where: See `search`.
            where_document: See `search`.
            mode: See `search`.
            min_score: See `search`.
            exact: See `search`.
            ef_search: See `search`.
            probes: See `search`.
            include_embeddings: See `search`.
            weight: See `search`.
            fusion: See `search`.
            fetch_k: See `search`.
            vectors: One a query; see `vector` of `search`.

        Returns:
            One list of hits a query, in the order of the queries.
        """
        options = check_search(
            self._backend,
            self._info,
            k=k,
            mode=mode,
            where=where,
            where_document=where_document,
            min_score=min_score,
            exact=exact,
            ef_search=ef_search,
            probes=probes,
            include_embeddings=include_embeddings,
            weight=weight,
            fusion=fusion,
            fetch_k=fetch_k,
            vectors=vectors,
        )
        if mode == "vector":
            return self._by_vector(options, self._intake.queries(queries))
        self._look_for_text_index()
        check_text_index(self._backend, self._info, mode)
        texts = as_texts(queries, mode)
        if mode == "text":
            if options.k == 0 or not texts:
                return [[] for _ in texts]
            request = options.by_text(words_of(self._info, texts))
            return finish_texts(options, self._backend.search_text(self._info, request))
        array = self._intake.queries(texts if vectors is None else as_vectors(vectors, len(texts)))
        if options.k == 0 or not texts:
            return [[] for _ in texts]
        candidates = self._backend.search_hybrid(self._info, options.by_both(array, words_of(self._info, texts)))
        metric = self._info.metric
        found = [fuse(each, metric, options.fusion, options.weight)[: options.k] for each in candidates]
        return finish_texts(options, found)

    def ingest(
        self,
        source: Iterable[Record] | Iterable[str],
        *,
        ids: Ids = "given",
        batch_size: int = BATCH,
        prune: bool | Iterable[str] = False,
        progress: Progress = None,
    ) -> Ingested:
        """Embed and write all that a source holds, however long, and pass over what is stored already.

        A record is passed over, and not embedded, if one with the same document and the same metadata is stored under
        its id; one that brings its own vector is always written. Others are upserted in batches, each committed as
        a whole: on Postgres, as one transaction (with a connection of the caller's, as part of the caller's). While one
        batch is written in a thread, the next is read and embedded in the caller's; when the call ends, in
        whatever way, the thread has ended too. Memory holds three batches, and with `ids="given"` the ids.

        After an error, Ctrl-C or a crash, what was written stays, and the same call on the same source goes on where
        it stopped. Records that are gone from the source stay stored, unless they are pruned.

        Args:
            source: Records, or with `ids="content"` also documents alone. Any iterable; read once, in this thread.
            ids: `"given"`: those of the records; one that was made without an id has a random one, which no later call
                knows. `"content"`: ids made of document and metadata, whatever id a record
                has, so that the same content is one record, stored once, on every machine. (Documents that are equal
                but for their metadata, such as their place in a book, are two. One that is changed is a new record; the
                old one stays.) Such an id is the first 32 hexadecimal digits of the SHA-256 of the JSON text
                `["document",{"key":value}]` in UTF-8, keys sorted, without spaces and escapes but for what JSON
                demands.
            batch_size: Records that are embedded and written at once, >= 1.
            prune: Whether to delete, once all is written, the stored records that have the metadata `source` (a file,
                as `read_passages` notes it) of a record that was read, and whose id was not read: what is gone from
                these sources. Or the names of such sources, also of those that hold no record any more. No other record
                is touched. Pause other writers of these sources meanwhile. Memory then holds the ids.
            progress: True shows a bar, if standard error is a terminal. A function is called for each batch read
                and each one written, in this thread, with the counts so far; what it raises ends the ingest.

        Returns:
            The counts: read, unchanged, embedded, written, pruned, and seconds.

        Raises:
            InvalidArgumentError: Or a subclass: an argument or a record is not allowed. Batches before stay written, as
                with all the following errors, and whatever the source itself raises, which passes through.
            DuplicateIdError: With `ids="given"`, the source holds an id twice.
            EmbeddingError: A document could not be embedded; the message says of which record, where that is known.
            MissingDependencyError: `progress=True`, and rich is not installed.
            PartialWriteError: On a backend without atomic writes, part of a batch was written.
        """
        if isinstance(source, str | bytes | Record) or is_mapping(source) or not is_iterable(source):
            raise InvalidArgumentError(f"source is an iterable of Record or str, not {type(source).__name__}")
        check_choice(ids, IDS, "ids")
        batch_size = as_batch_size(batch_size)
        pruning = as_pruning(prune)
        total = length_of(source)
        with reporting(progress, total, f"ingesting into {self.name}") as report:
            run = Run(self._backend, self._info, self._intake, ids, batch_size, report, total, pruning)
            return run.take_in(source)

    def reembed(
        self,
        embedder: Embedder,
        *,
        without_document: WithoutDocument = "refuse",
        batch_size: int = BATCH,
        progress: Progress = None,
    ) -> Self:
        """Embed all stored documents with another embedder, and put the result in the place of this collection.

        The vectors are made in a second collection beside this one (`reembed-NAME-…` in `list_collections`), which
        stays as it is and is searched as before. When all are there, the second one takes its name, and this one is
        dropped: opened by its name, the collection is either the old or the new one, whole, also if the process or the
        server dies at that moment. Ids, documents, metadata, metric, index and language stay; vectors that were given
        instead of made are made too.

        After an error, Ctrl-C or a crash the same call goes on where it stopped; `drop_collection` of the second
        collection gives up. What is written to this collection meanwhile is taken over in a second pass, which takes
        little time; what is written during that pass is lost, so pause writers at the end. Other handles of this
        collection then raise `CollectionNotFoundError`, this one too: use the one returned.

        If the collection has this very embedder already, nothing is done.

        Args:
            embedder: The new one; its dimension may be another.
            without_document: Records without a document have nothing to embed: `"refuse"` raises if there are any,
                `"drop"` leaves them behind, so that they are gone with this collection.
            batch_size: As for `ingest`.
            progress: As for `ingest`.

        Returns:
            The collection with its new vectors, opened with `embedder`.

        Raises:
            UnsupportedError: The backend cannot put one collection in the place of another; the message has the way to
                do it in a collection of another name.
            EmbeddingError: There are records without a document; lists at most ten of them, and nothing was done. Or
                one could not be embedded; the message says which.
            InvalidArgumentError: An argument is of another type, or not one of those.
            MissingDependencyError: `progress=True`, and rich is not installed.
        """
        info = reembed(self._backend, self._info, embedder, without_document, batch_size, progress)
        return type(self)(self._backend, info, embedder)

    def create_text_index(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Index the words of the documents, those stored and those written from now on, in the collection's language.

        Does nothing if the collection has a text index.

        Args:
            progress: Called now and then with the numbers of records done and of all; what it raises passes through,
                and leaves the collection without a text index.

        Raises:
            UnsupportedError: The backend has no text search.
            MissingDependencyError: The stemmers for the language are not installed.
        """
        if progress is not None and not callable(progress):
            raise InvalidArgumentError(f"progress is called with two numbers; it is no {type(progress).__name__}")
        if not self._backend.capabilities.text_search:
            raise UnsupportedError(f"{self._backend.name} has no text search, so no text index can be made")
        text.analyzer(self._info.spec.language)
        self._info = self._backend.create_text_index(self._info, progress)

    def create_index(
        self, index: IndexChoice | None = None, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> None:
        """Give the collection a vector index in place of the one it has, if any, while it stays in use.

        Nothing happens if it has this very one. Up to 2,000 records searches are exact anyway, so with fewer the index
        is built by the write that exceeds them (an `IVFFlat` with `lists`: that brings 50 records a list). Other
        objects of this collection, in whatever process, know of the change when they are opened anew; their answers
        are right all the same.

        Args:
            index: `"hnsw"`, `"ivfflat"`, or an `HNSW` or `IVFFlat` with settings of its own; None: the one that the
                collection is to have, or else `"hnsw"`.
            progress: Called now and then with how far it is, and at the end; an exception of its own ends the building.

        Raises:
            UnsupportedError: The backend's indexes cannot be changed, or it has no such one for this dimension or
                metric; or it cannot report progress here.
            InvalidArgumentError: `index` is not one of those.
            BackendError: An index of this collection is being built already.
        """
        chosen = self._info.spec.index or HNSW() if index is None else as_index(index)
        if chosen is None:
            raise InvalidArgumentError("create_index makes an index, and 'none' is none; use drop_index()")
        check_metric(chosen, self._info.metric)
        self._info = self._backend.create_index(self._info, chosen, progress=progress)

    def drop_index(self) -> None:
        """Drop the vector index, if there is one: every search compares all records from then on.

        Raises:
            UnsupportedError: The backend's indexes cannot be changed.
            BackendError: An index of this collection is being built.
        """
        self._info = self._backend.drop_index(self._info)

    def reindex(self, *, progress: Callable[[IndexProgress], object] | None = None) -> None:
        """Build the vector index anew, while the collection stays in use: after many deletes, or for more `lists`.

        Args:
            progress: As for `create_index`.

        Raises:
            UnsupportedError: The collection has no index, the backend's cannot be changed, or it cannot report
                progress here.
            BackendError: An index of this collection is being built already.
        """
        if self._backend.capabilities.index_changes and self._info.spec.index is None:
            raise UnsupportedError(f"collection {self._info.name!r} has no index; create_index() makes one")
        self._info = self._backend.reindex(self._info, progress=progress)

    def storage(self) -> Storage:
        """Return how many bytes the collection takes, and how far its vector index is.

        Raises:
            UnsupportedError: The backend does not say.
        """
        return self._backend.measure_storage(self._info)

    def explain(
        self,
        query: str | Vector,
        k: int = 10,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        exact: bool | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
    ) -> Explanation:
        """Search, and say how: which SQL ran under which settings, whether the index was used and why, how long.

        Args:
            query: These arguments are those of `search`.
            k: See `search`; >= 1.
            where: See `search`.
            where_document: See `search`.
            exact: See `search`.
            ef_search: See `search`.
            probes: See `search`.

        Returns:
            An object to print.

        Raises:
            UnsupportedError: The backend cannot explain its searches, or has no such setting.
            InvalidArgumentError: Or a subclass, as for `search`.
        """
        k = check_between(k, 1, MANY, "k")
        tree = as_filter(where, where_document)
        if exact is not None:
            check_flag(exact, "exact")
        effort = check_effort(self._backend, self._info, exact, ef_search, probes)
        vector = self._intake.query(query)
        return self._backend.explain(self._info, VectorSearch(vector[None], k, tree, exact, effort=effort))

    def recall(
        self,
        k: int = 10,
        sample: int = 100,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
    ) -> Recall:
        """Measure what the default search misses, on the data of the collection.

        The queries lie near a sample of the records that match: each as far from its record as that is from its k-th
        neighbour, in a random direction, since a stored vector itself is found by almost any index. What `search` finds
        is compared with an exact search by distance, so that ties count as hits. Sample and directions are the same
        each time.

        Args:
            k: How many hits to ask for, >= 1.
            sample: How many queries, >= 1; each takes two exact searches of everything that matches.
            where: Filter on metadata, of the sample and of the searches.
            where_document: Filter on documents.
            ef_search: See `search`: measure before you set it.
            probes: See `search`.

        Raises:
            InvalidArgumentError: Or a subclass, as for `search`; or no record matches.
            UnsupportedError: There is no such setting.
        """
        k = check_between(k, 1, MANY, "k")
        sample = check_between(sample, 1, MANY, "sample")
        tree = as_filter(where, where_document)
        effort = check_effort(self._backend, self._info, None, ef_search, probes)
        return measure_recall(self._backend, self._info, k, sample, tree, effort)

    def _write(self, write: Callable[[CollectionInfo, Iterable[Batch]], None], batches: Iterable[Batch]) -> list[str]:
        ids: list[str] = []

        def noted(batches: Iterable[Batch]) -> Iterator[Batch]:
            for batch in batches:
                ids.extend(batch.ids)
                yield batch

        streamed = not isinstance(batches, list)
        with (
            spooled(batches)
            if streamed and not self._backend.capabilities.atomic_writes
            else nullcontext(batches) as source
        ):
            write(self._info, noted(source))
        return ids

    def _by_vector(self, options: SearchOptions, queries: FloatArray) -> list[list[Hit]]:
        if options.k == 0 or not len(queries):
            return [[] for _ in queries]
        request = options.by_vector(queries)
        found = finish_vectors(options, self._info.metric, self._backend.search(self._info, request))
        if missed := [row for row, hits in enumerate(found) if hits is None]:
            everything = replace(request, queries=queries[missed], exact=True, effort=None)
            anew = finish_vectors(options, self._info.metric, self._backend.search(self._info, everything))
            for row, hits in zip(missed, anew, strict=True):
                found[row] = hits
        return [hits or [] for hits in found]

    def _look_for_text_index(self) -> None:
        """Another handle may have made the text index since this one was opened."""
        if self._backend.capabilities.text_search and not self._info.spec.text_index:
            info = self._backend.open_collection(self.name)
            if info.generation == self._info.generation:
                self._info = info

    def _stored(self, ids: Sequence[str]) -> dict[str, Record]:
        return {record.id: record for record in self._backend.get(self._info, Read(ids))}

    def _check_merged(self, patches: Sequence[Patch]) -> None:
        """Hold what a merge makes to the limits of a metadata object (rule 2.5), before anything is written."""
        for patch in patches:
            stored = self._stored(patch.ids)
            for id, new in zip(patch.ids, patch.metadatas or (), strict=False):
                if id in stored:
                    as_metadata({**stored[id].metadata, **new}, id)


def _ids(ids: Sequence[str] | None) -> list[str] | None:
    return None if ids is None else list(dict.fromkeys(check_id(id) for id in as_list(ids, "ids")))


def _says_something(where: object) -> bool:
    return where is not None and where != {}
