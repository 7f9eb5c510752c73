"""`Collection`: writing and reading records. Every argument is checked here, then the backend is called."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

from numpy.typing import NDArray

from vectorkit.backend.requests import Read, Scan
from vectorkit.errors import InvalidArgumentError
from vectorkit.ingest import as_batch_size
from vectorkit.intake import spooled
from vectorkit.metadata import as_metadata
from vectorkit.protocol import Embedder
from vectorkit.reembed import Reembedding
from vectorkit.searching import Where, as_count, as_filter
from vectorkit.types import Batch, CollectionInfo, Json, Patch, Record, Vector
from vectorkit.validation import as_list, check_flag, check_id

__all__ = ["Collection"]

Vectors: TypeAlias = Sequence[Vector | None] | NDArray[Any]
"""One vector a record, as a 2-d array or row by row; None for one that is to be embedded."""


class Collection(Reembedding):
    """Records of one dimension and metric; made by `VectorStore`.

    Every method may raise `CollectionNotFoundError`, when this very collection was dropped, and `BackendError`.
    """

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {self._info.metric}, dimension={self._info.dimension}, {self._backend!r})"

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
