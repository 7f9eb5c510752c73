"""From what a caller gives (columns, records, a stream of them) to checked, embedded batches."""

import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Final
from uuid import uuid4

import numpy as np

from vectorkit._narrow import is_array, is_iterable, is_sequence
from vectorkit.embedding import embed_documents, embed_query
from vectorkit.errors import BackendError, EmbeddingError, InvalidArgumentError, InvalidVectorError
from vectorkit.metadata import as_metadata
from vectorkit.protocol import Embedder
from vectorkit.types import Batch, CollectionSpec, FloatArray, Metadata, Patch, Record, Vector
from vectorkit.validation import (
    as_list,
    check_document,
    check_id,
    check_text,
    check_unique,
    not_stored,
)
from vectorkit.vectors import as_vectors

__all__ = ["Intake", "spooled"]

_STREAM_BATCH: Final = 1000
"""Records of a stream that are held at once."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Checks and embeds for one collection.

    Attributes:
        spec: The collection's settings.
        embedder: Embeds documents that come without a vector; None if the caller gives all vectors.
    """

    spec: CollectionSpec
    embedder: Embedder | None

    def batches(
        self, ids: object, documents: object, embeddings: object, metadatas: object, records: object
    ) -> Iterable[Batch]:
        """Whole records to write.

        Lists are checked whole here; records of any other iterable are checked as the result is iterated.

        Raises:
            InvalidArgumentError: Or one of its subclasses, for the argument that breaks the contract.
            DuplicateIdError: An id stands in the call twice.
            EmbeddingError: Documents could not be embedded.
        """
        if records is None:
            return self._whole(ids, documents, embeddings, metadatas)
        _only_records(ids, documents, embeddings, metadatas)
        if is_sequence(records):
            return self._whole(*_columns(records))
        if isinstance(records, str | bytes | Record) or not is_iterable(records):
            raise InvalidArgumentError(f"records is an iterable of Record, not {type(records).__name__}")
        return self._stream(iter(records))

    def patches(
        self,
        ids: object,
        documents: object,
        embeddings: object,
        metadatas: object,
        records: object,
        *,
        merge: bool,
        stored: Callable[[Sequence[str]], Mapping[str, Record]],
    ) -> list[Patch]:
        """Columns to change (rule 3.4); `stored` reads the records whose documents are to be embedded again.

        Raises:
            InvalidArgumentError: Or one of its subclasses, for the argument that breaks the contract.
            DuplicateIdError: An id stands in the call twice.
            RecordNotFoundError: A record that is to be embedded again is not stored.
            EmbeddingError: Documents could not be embedded.
        """
        if records is not None:
            _only_records(ids, documents, embeddings, metadatas)
            ids, documents, embeddings, metadatas = _columns(as_list(records, "records"))
        if ids is None:
            raise InvalidArgumentError("update changes records that are stored: say which with ids=")
        names = _ids(ids)
        if names and documents is None and embeddings is None and metadatas is None:
            raise InvalidArgumentError("nothing to change: give documents=, embeddings= or metadatas=")
        texts = self._documents(documents, names) if documents is not None else None
        metas = self._metadatas(metadatas, names) if metadatas is not None else None
        if not names:
            return []
        if embeddings is not None:
            embeddings = _column(embeddings, "embeddings")
            sources = texts if texts is not None else _stored_texts(embeddings, names, stored)
            return [Patch(names, texts, self._vectors(embeddings, sources, names), metas, merge)]
        if texts is None:
            return [Patch(names, None, None, metas, merge)]
        # A document that is given is embedded, one that is removed leaves the vector alone (3.4): two groups of rows.
        with_text = [row for row, text in enumerate(texts) if text is not None]
        without = [row for row, text in enumerate(texts) if text is None]
        found: list[Patch] = []
        if with_text:
            picked = _pick(names, with_text), _pick(texts, with_text), metas and _pick(metas, with_text)
            array = self._vectors([None] * len(with_text), picked[1], picked[0])
            found.append(Patch(picked[0], picked[1], array, picked[2], merge))
        if without:
            found.append(
                Patch(_pick(names, without), _pick(texts, without), None, metas and _pick(metas, without), merge)
            )
        return found

    def query(self, query: object) -> FloatArray:
        """One query, a text or a vector, as a float32 array of shape `(dimension,)` (rule 6.9).

        Raises:
            InvalidArgumentError: Or one of its subclasses: the vector or the text breaks the contract.
            EmbeddingError: A text, and no embedder; or it could not be embedded.
        """
        if isinstance(query, str):
            check_text(query, "the query")
            if self.embedder is None:
                raise EmbeddingError(
                    f"a text query needs an embedder, and collection {self.spec.name!r} was opened without one: "
                    "pass embedder= to get_collection, or search with a vector"
                )
            vectors = embed_query(self.embedder, self.spec, query)
        else:
            rows = query[np.newaxis] if is_array(query) and query.ndim == 1 else [query]
            vectors = as_vectors(rows, self.spec.dimension, self.spec.metric, lambda _: "the query vector")
        return vectors.reshape(-1)

    def queries(self, queries: object) -> FloatArray:
        """Queries, texts or vectors or a 2-d array of them, as a float32 array of shape `(n, dimension)`.

        Raises:
            InvalidArgumentError: Or one of its subclasses: a vector or a text breaks the contract.
            EmbeddingError: A text, and no embedder; or it could not be embedded.
        """
        if is_array(queries) and queries.ndim == 2:
            return as_vectors(queries, self.spec.dimension, self.spec.metric, lambda _: "the query vector")
        rows = [self.query(query) for query in as_list(queries, "queries")]
        return np.array(rows, dtype=np.float32).reshape(-1, self.spec.dimension)

    def checked(self, records: Sequence[object]) -> list[Record]:
        """Records that are to be written, as copies of their own, checked but for their vectors and repeated ids.

        Raises:
            InvalidArgumentError: Or one of its subclasses, for the record that breaks the contract.
        """
        return [Record(*row) for row in zip(*self.columns(records), strict=True)]

    def columns(
        self, records: Sequence[object]
    ) -> tuple[list[str], list[str | None], list[Vector | None], list[Metadata]]:
        """Ids, documents, vectors and metadata of records as `checked` gives them.

        Raises:
            InvalidArgumentError: Or one of its subclasses, for the record that breaks the contract.
        """
        ids, documents, embeddings, metadatas = _columns(records)
        names = [check_id(id) for id in ids]
        return names, self._documents(documents, names), embeddings, self._metadatas(metadatas, names)

    def embedded(self, records: Sequence[Record]) -> Batch:
        """One batch of checked records, none of them twice, with their vectors checked or made.

        Raises:
            InvalidVectorError: One is not allowed, or there is neither a vector nor a document to embed.
            EmbeddingError: A document could not be embedded; the message says of which record.
        """
        ids, documents = [record.id for record in records], [record.document for record in records]
        vectors = self._vectors([record.embedding for record in records], documents, ids)
        return Batch(ids, documents, vectors, [record.metadata for record in records])

    def _whole(self, ids: object, documents: object, embeddings: object, metadatas: object) -> list[Batch]:
        given = {"documents": documents, "embeddings": embeddings, "metadatas": metadatas}
        columns = [_column(column, what) for what, column in given.items()]
        documents, embeddings, metadatas = columns
        if ids is None:
            sizes = [len(column) for column in columns if column is not None]
            if not sizes:
                raise InvalidArgumentError("nothing to write: give documents= or embeddings= (or records=)")
            names = [str(uuid4()) for _ in range(sizes[0])]
        else:
            names = _ids(ids)
        if documents is None and embeddings is None and names:
            raise InvalidVectorError("records have neither embeddings nor documents to embed: give one of the two")
        absent = [None] * len(names)
        texts = self._documents(absent if documents is None else documents, names)
        metas = self._metadatas(absent if metadatas is None else metadatas, names)
        batch = Batch(names, texts, self._vectors(embeddings, texts, names), metas)
        return [batch] if names else []

    def _stream(self, records: Iterator[object]) -> Iterator[Batch]:
        seen: set[str] = set()
        while chunk := list(islice(records, _STREAM_BATCH)):
            checked = self.checked(chunk)
            ids = [record.id for record in checked]
            check_unique([*ids, *seen.intersection(ids)])
            seen.update(ids)
            yield self.embedded(checked)

    def _documents(self, documents: object, ids: list[str]) -> list[str | None]:
        column = _sized(as_list(documents, "documents"), "documents", ids)
        return [check_document(text, id) for text, id in zip(column, ids, strict=True)]

    def _metadatas(self, metadatas: object, ids: list[str]) -> list[Metadata]:
        column = _sized(as_list(metadatas, "metadatas"), "metadatas", ids)
        return [as_metadata(value, id) for value, id in zip(column, ids, strict=True)]

    def _vectors(self, embeddings: object, documents: Sequence[str | None], ids: list[str]) -> FloatArray:
        """The given vectors, and those of the documents where none is given."""

        def what(index: int) -> str:
            return f"the embedding of record {ids[index]!r}"

        if is_array(embeddings) and embeddings.dtype.kind != "O":
            return as_vectors(_sized(embeddings, "embeddings", ids), self.spec.dimension, self.spec.metric, what)
        column = (
            [None] * len(ids) if embeddings is None else _sized(as_list(embeddings, "embeddings"), "embeddings", ids)
        )
        missing = [row for row, vector in enumerate(column) if vector is None]
        if not missing:
            return as_vectors(column, self.spec.dimension, self.spec.metric, what)
        given = [row for row, vector in enumerate(column) if vector is not None]
        array = np.empty((len(ids), self.spec.dimension), dtype=np.float32)
        array[given] = as_vectors(_pick(column, given), self.spec.dimension, self.spec.metric, lambda n: what(given[n]))
        array[missing] = self._embed([documents[row] for row in missing], [ids[row] for row in missing])
        return array

    def _embed(self, documents: Sequence[str | None], ids: Sequence[str]) -> FloatArray:
        texts = [text for text in documents if text is not None]
        if len(texts) < len(documents):
            lacking = ids[documents.index(None)]
            raise InvalidVectorError(f"record {lacking!r} has neither an embedding nor a document to embed")
        if self.embedder is None:
            raise InvalidVectorError(
                f"record {ids[0]!r} has no embedding, and collection {self.spec.name!r} was opened without an embedder "
                "that could make one: give embeddings=, or pass embedder= when opening the collection"
            )
        return embed_documents(self.embedder, self.spec, texts, ids)


@contextmanager
def spooled(batches: Iterable[Batch]) -> Generator[Iterator[Batch]]:
    """Read all batches, keeping them in a temporary file, and only then hand them on (rule 3.1).

    For a backend that cannot take back what it has written: if reading the batches raises, it has seen none.
    """
    from tempfile import TemporaryFile  # its imports are a tenth of ours, for what few calls need

    with ExitStack() as opened:
        with _temporary("kept in"):
            file = TemporaryFile()  # noqa: SIM115  (closed by the stack)
        opened.callback(_discard, file)
        count = 0
        for count, batch in enumerate(batches, start=1):  # noqa: B007  (used after the loop)
            with _temporary("kept in"):
                pickle.dump(batch, file, protocol=pickle.HIGHEST_PROTOCOL)
        with _temporary("kept in"):
            file.seek(0)  # which writes what is still in memory
        yield (_loaded(file) for _ in range(count))


def _discard(file: IO[bytes]) -> None:
    with suppress(OSError):  # closing writes what is still in memory; the store has it by now, or the call has failed
        file.close()


def _loaded(file: IO[bytes]) -> Batch:
    with _temporary("read from"):
        batch: Batch = pickle.load(file)
    return batch


@contextmanager
def _temporary(done: str) -> Generator[None]:
    """Raise what the operating system says of the temporary file as our own (rule 8.2)."""
    try:
        yield
    except OSError as error:
        raise BackendError(
            f"the records cannot be {done} a temporary file: {error.strerror or error}; "
            "make room in the temporary folder, or name another one in the environment variable TMPDIR"
        ) from error


def _columns(records: Sequence[object]) -> tuple[list[object], list[object], list[Vector | None], list[object]]:
    rows = [row for row in records if isinstance(row, Record)]
    if len(rows) < len(records):
        other = next(row for row in records if not isinstance(row, Record))
        raise InvalidArgumentError(f"records holds Record objects, not {type(other).__name__}")
    return (
        [row.id for row in rows],
        [row.document for row in rows],
        [row.embedding for row in rows],
        [row.metadata for row in rows],
    )


def _only_records(*columns: object) -> None:
    if any(column is not None for column in columns):
        raise InvalidArgumentError("give records= or columns (ids=, documents=, embeddings=, metadatas=), not both")


def _stored_texts(
    embeddings: object, ids: list[str], stored: Callable[[Sequence[str]], Mapping[str, Record]]
) -> list[str | None]:
    """The stored documents of the rows whose embedding is None."""
    column = [] if is_array(embeddings) else as_list(embeddings, "embeddings")
    wanted = [id for id, vector in zip(ids, column, strict=False) if vector is None]
    if not wanted:
        return [None] * len(ids)
    found = stored(wanted)
    if missing := [id for id in wanted if id not in found]:
        raise not_stored(missing)
    return [found[id].document if id in found else None for id in ids]


def _ids(ids: object) -> list[str]:
    names = [check_id(id) for id in as_list(ids, "ids")]
    check_unique(names)
    return names


def _column(values: object, what: str) -> Any:
    """A column whose length is known, or None."""
    return values if values is None or (is_array(values) and values.ndim) else as_list(values, what)


def _sized(column: Any, what: str, ids: Sequence[str]) -> Any:
    if len(column) != len(ids):
        raise InvalidArgumentError(f"{what} has {len(column):,} elements, ids {len(ids):,}; expected one a record")
    return column


def _pick(column: Sequence[Any], rows: Sequence[int]) -> list[Any]:
    return [column[row] for row in rows]
