"""`VectorKitDocumentStore`: a collection as a Haystack document store."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import numpy as np
from haystack import Document, default_from_dict, default_to_dict
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils import Secret, deserialize_secrets_inplace

from vectorkit._narrow import is_iterable
from vectorkit.collection import Collection
from vectorkit.embedders.adapted import as_embedder
from vectorkit.errors import DuplicateIdError, InvalidArgumentError, InvalidFilterError
from vectorkit.integrations.haystack.filters import as_where, field_key
from vectorkit.store import VectorStore, connect
from vectorkit.types import Hit, Record
from vectorkit.validation import MetricName

__all__ = ["VectorKitDocumentStore"]

_ID: Final = "_haystack_id"
"""The id again, so that filters can name it."""

_UNEMBEDDED: Final = "_haystack_unembedded"
"""Marks a document without an embedding, whose record has a vector that stands for none and is never searched."""

_REST: Final = "_haystack_rest"
"""What a document has besides content, meta and embedding, as JSON text."""

_OWN_KEYS: Final = frozenset({_ID, _UNEMBEDDED, _REST})

_EMBEDDED: Final[Mapping[str, Any]] = {_UNEMBEDDED: {"$ne": True}}
_EVERYTHING: Final[Mapping[str, Any]] = {"$and": []}
_BATCH: Final = 1000

P = ParamSpec("P")
T = TypeVar("T")


def _in_thread(
    method: Callable[Concatenate["VectorKitDocumentStore", P], T],
) -> Callable[Concatenate["VectorKitDocumentStore", P], Coroutine[Any, Any, T]]:
    async def run(self: "VectorKitDocumentStore", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    run.__name__ = f"{method.__name__}_async"
    run.__doc__ = f"As `{method.__name__}`."

    return run


class VectorKitDocumentStore:
    """A collection as a Haystack document store.

    Documents without an embedding are kept: filters and words find them, vectors never do. Filters are Haystack's, of
    the same meaning on every backend (section 5 of the contract): values of different types are not equal, `!=` and
    `not in` match documents without the field, and dates compare as ISO strings: keep them in one format.

    Args:
        url: As in `vectorkit.connect`, as a `Secret` where it holds a password; the one line that changes between
            Chroma and Postgres. The store is opened when it is first used.
        collection_name: As in `VectorStore.create_collection`.
        dimension: Length of the embeddings, for a new collection; an existing one has its own.
        metric: `"cosine"` (for a new collection if left out), `"l2"` or `"ip"`.
        text_index: Whether a new collection indexes words, which keyword and hybrid retrievers need.
        language: Language of the text index.
    """

    def __init__(
        self,
        url: str | Secret = "memory:",
        *,
        collection_name: str = "haystack",
        dimension: int = 768,
        metric: MetricName | None = None,
        text_index: bool = True,
        language: str | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "url": url,
            "collection_name": collection_name,
            "dimension": dimension,
            "metric": metric,
            "text_index": text_index,
            "language": language,
        }
        self._embedder: Any = None
        self._store: VectorStore | None = None
        self._opened: Collection | None = None

    @classmethod
    def from_collection(cls, collection: Collection) -> Self:
        """Make a document store of an open collection; it cannot be serialised."""
        store = cls()
        store._opened = collection
        store._settings = {}
        return store

    @classmethod
    def from_url(
        cls,
        url: str | Secret,
        embedder: object,
        *,
        collection_name: str = "haystack",
        model: str | None = None,
        **options: Any,
    ) -> Self:
        """Make a document store whose collection is made for an embedder.

        Args:
            url: See the class.
            embedder: Haystack's document or text embedder, or an embedder of vectorkit; its identity is stored with the
                collection, so that another model is refused when the collection is opened.
            collection_name: See the class.
            model: What to call the model if `embedder` does not say; see `vectorkit.as_embedder`.
            **options: `metric`, `text_index`, `language` of the class.
        """
        adapted = as_embedder(embedder, model=model)
        store = cls(url, collection_name=collection_name, dimension=adapted.identity.dimension, **options)
        store._embedder = adapted
        return store

    @property
    def collection(self) -> Collection:
        """The collection, opened or created now if it was not.

        Raises:
            CollectionMismatchError: It was created with another dimension, metric or embedder.
            BackendError: The store cannot be opened.
        """
        if self._opened is None:
            settings = self._settings
            url = settings["url"]
            store = connect((url.resolve_value() or "") if isinstance(url, Secret) else url)
            try:
                self._opened = store.get_or_create_collection(
                    settings["collection_name"],
                    embedder=self._embedder,
                    **{name: settings[name] for name in ("dimension", "metric", "text_index", "language")},
                )
            except BaseException:
                store.close()
                raise
            self._store = store
        return self._opened

    def close(self) -> None:
        """Close the store, if it was opened here; it is opened again when it is used again."""
        if self._store is not None:
            self._store.close()
            self._store = self._opened = None

    def to_dict(self) -> dict[str, Any]:
        """Serialise the settings; a `Secret` from an environment variable keeps its name, never its value.

        Raises:
            InvalidArgumentError: The store was made of an open collection or an embedder.
        """
        if not self._settings or self._embedder is not None:
            raise InvalidArgumentError(
                "a document store of an open collection or an embedder cannot be serialised; construct it with a url "
                "and a dimension"
            )
        url = self._settings["url"]
        return default_to_dict(self, **{**self._settings, "url": url.to_dict() if isinstance(url, Secret) else url})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Construct a store from what `to_dict` gave."""
        if isinstance(data.get("init_parameters", {}).get("url"), dict):
            deserialize_secrets_inplace(data["init_parameters"], keys=["url"])
        store: Self = default_from_dict(cls, data)
        return store

    def count_documents(self) -> int:
        """Return the number of documents."""
        return self.collection.count()

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that match, with their embeddings, in ascending order of id.

        Raises:
            FilterError: A filter is malformed, or compares what no backend can.
        """
        return [_document(found) for found in self._read(filters, include_embeddings=True)]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents.

        Args:
            documents: With an embedding or without one.
            policy: What to do with ids that are stored already, or given twice: `FAIL` (also `NONE`), `SKIP`, or
                `OVERWRITE`, in which the last one given stays.

        Returns:
            The number of documents written.

        Raises:
            DuplicateDocumentError: An id is stored already, with `FAIL`; nothing was written.
            InvalidArgumentError: Or a subclass: these are no documents, or one cannot be stored; nothing was written.
        """
        anything: Any = documents
        if isinstance(anything, str | bytes) or not is_iterable(anything):
            raise InvalidArgumentError(f"documents must be a list of Document, got {type(documents).__name__}")
        given: list[Document] = list(documents)
        for at, document in enumerate(given):
            if not isinstance(document, Document):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(f"documents[{at}] must be a Document, got {type(document).__name__}")
        dimension = self.collection.info().dimension
        records = [_record(document, dimension) for document in given]
        if policy is DuplicatePolicy.OVERWRITE:
            return len(self.collection.upsert(records=list({record.id: record for record in records}.values())))
        if policy is DuplicatePolicy.SKIP:
            return self._write_new({record.id: record for record in reversed(records)})
        try:
            return len(self.collection.add(records=records))
        except DuplicateIdError as error:
            raise DuplicateDocumentError(str(error)) from error

    def _write_new(self, records: dict[str, Record]) -> int:
        while True:
            stored = {record.id for record in self.collection.get(list(records))}
            new = [record for id, record in records.items() if id not in stored]
            try:
                return len(self.collection.add(records=new))
            except (
                DuplicateIdError
            ):  # another writer was faster; nothing was written, and its documents are skipped too
                continue

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by id; missing ones are ignored."""
        self.collection.delete(document_ids)

    def delete_all_documents(self) -> None:
        """Delete all documents; the collection stays."""
        self.collection.delete(where=_EVERYTHING)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match and return their number."""
        return _asked(lambda where: self.collection.delete(where=where or _EVERYTHING), filters)

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set fields of meta on the documents that match, keep the others, and return the number of documents."""
        count = 0
        ids = [found.id for found in self._read(filters)]
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            self.collection.update(ids=part, metadatas=[meta] * len(part), merge=True)
            count += len(part)
        return count

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Return the number of documents that match."""
        return _asked(self.collection.count, filters)

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """Return, for each field, the number of different values among the documents that match."""
        keys = {_shown(field): field_key(field, _ID) for field in metadata_fields}
        seen: dict[str, set[str]] = {name: set() for name in keys}
        for found in self._read(filters):
            for name, key in keys.items():
                if (value := found.metadata.get(key)) is not None:
                    seen[name].add(_distinct(value))
        return {name: len(values) for name, values in seen.items()}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return each field of meta with the type of its values: keyword, int, float or boolean."""
        fields: dict[str, dict[str, str]] = {}
        for found in self._read(None):
            for key, value in found.metadata.items():
                if key not in _OWN_KEYS and value is not None:
                    fields[key] = {"type": _TYPES.get(type(value).__name__, "keyword")}
        return fields

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the smallest and the largest number of a field, or of its strings if it holds no number."""
        key = field_key(metadata_field, _ID)
        values = [found.metadata.get(key) for found in self._read(None)]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        comparable: list[Any] = numbers or [value for value in values if isinstance(value, str)]
        return {"min": min(comparable, default=None), "max": max(comparable, default=None)}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return different values of a field, in ascending order, and how many there are in all.

        Args:
            metadata_field: With the prefix `meta.` or without it.
            search_term: Only values whose text holds it, whatever the case.
            from_: How many values to pass over.
            size: How many to return at the most.
            filters: Which documents to look at.
        """
        key = field_key(metadata_field, _ID)
        values = {
            _distinct(value): value for found in self._read(filters) if (value := found.metadata.get(key)) is not None
        }
        term = (search_term or "").casefold()
        matching = [value for value in values.values() if term in str(value).casefold()]
        matching.sort(
            key=lambda value: (type(value).__name__, value if isinstance(value, int | float) else 0, str(value))
        )
        return matching[from_ : from_ + size], len(matching)

    count_documents_async = _in_thread(count_documents)
    filter_documents_async = _in_thread(filter_documents)
    write_documents_async = _in_thread(write_documents)
    delete_documents_async = _in_thread(delete_documents)
    delete_all_documents_async = _in_thread(delete_all_documents)
    delete_by_filter_async = _in_thread(delete_by_filter)
    update_by_filter_async = _in_thread(update_by_filter)
    count_documents_by_filter_async = _in_thread(count_documents_by_filter)
    count_unique_metadata_by_filter_async = _in_thread(count_unique_metadata_by_filter)
    get_metadata_fields_info_async = _in_thread(get_metadata_fields_info)
    get_metadata_field_min_max_async = _in_thread(get_metadata_field_min_max)
    get_metadata_field_unique_values_async = _in_thread(get_metadata_field_unique_values)

    def retrieve_by_embedding(
        self,
        query_embedding: Sequence[float],
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
    ) -> list[Document]:
        """Return the embedded documents nearest to a vector, with their scores (rule 6.3)."""
        return self._search(query_embedding, filters, top_k, return_embedding)

    def retrieve_by_words(
        self, query: str, *, filters: dict[str, Any] | None = None, top_k: int = 10, return_embedding: bool = False
    ) -> list[Document]:
        """Return the documents that rank best by the words of a query (BM25), embedded or not."""
        return self._search(query, filters, top_k, return_embedding, mode="text")

    def retrieve_by_both(
        self,
        query: str,
        query_embedding: Sequence[float],
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        weight: float = 0.7,
        return_embedding: bool = False,
    ) -> list[Document]:
        """Return the embedded documents that rank best by vectors and words together (rule 7.3)."""
        return self._search(
            query, filters, top_k, return_embedding, mode="hybrid", vector=list(query_embedding), weight=weight
        )

    def _search(
        self, query: Any, filters: dict[str, Any] | None, top_k: int, include_embeddings: bool, **options: Any
    ) -> list[Document]:
        def search(where: Mapping[str, Any] | None) -> list[Hit]:
            if options.get("mode") != "text":
                where = _EMBEDDED if where is None else {"$and": [_EMBEDDED, where]}
            return self.collection.search(query, top_k, where=where, include_embeddings=include_embeddings, **options)

        return [_document(hit) for hit in _asked(search, filters)]

    def _read(self, filters: dict[str, Any] | None, *, include_embeddings: bool = False) -> list[Record]:
        return _asked(lambda where: list(self.collection.scan(where, include_embeddings=include_embeddings)), filters)


_TYPES: Final = {"bool": "boolean", "int": "int", "float": "float"}


def _asked(ask: Callable[[Mapping[str, Any] | None], T], filters: Mapping[str, Any] | None) -> T:
    try:
        return ask(as_where(filters, _ID))
    except InvalidFilterError as error:
        raise FilterError(str(error)) from error


def _distinct(value: object) -> str:
    return f"{type(value).__name__} {json.dumps(value, sort_keys=True)}"


def _shown(field: str) -> str:
    return field.removeprefix("meta.")


def _record(document: Document, dimension: int) -> Record:
    if clash := sorted(_OWN_KEYS & document.meta.keys()):
        raise InvalidArgumentError(f"meta must not have the key {clash[0]!r}, which the store keeps for itself")
    metadata: dict[str, Any] = {**document.meta, _ID: document.id}
    embedding: Any = document.embedding
    if embedding is None:
        metadata[_UNEMBEDDED] = True
        embedding = np.zeros(dimension, dtype=np.float32)
        embedding[0] = 1.0  # any vector will do that every metric takes
    rest: dict[str, Any] = {}
    if document.blob is not None:
        blob = document.blob
        rest["blob"] = {"data": base64.b64encode(blob.data).decode(), "meta": blob.meta, "mime_type": blob.mime_type}
    if document.sparse_embedding is not None:
        rest["sparse_embedding"] = document.sparse_embedding.to_dict()
    if rest:
        metadata[_REST] = json.dumps(rest)
    return Record(id=document.id, document=document.content, embedding=embedding, metadata=metadata)


def _document(found: Hit | Record) -> Document:
    metadata = dict(found.metadata)
    metadata.pop(_ID, None)
    unembedded = metadata.pop(_UNEMBEDDED, False)
    rest: dict[str, Any] = json.loads(str(metadata.pop(_REST, "{}")))
    blob: dict[str, Any] | None = rest.get("blob")
    sparse = rest.get("sparse_embedding")
    return Document(
        id=found.id,
        content=found.document,
        meta=metadata,
        embedding=None if unembedded or found.embedding is None else np.asarray(found.embedding).tolist(),
        score=found.score if isinstance(found, Hit) else None,
        blob=None if blob is None else ByteStream(base64.b64decode(blob["data"]), blob["meta"], blob["mime_type"]),
        sparse_embedding=None if sparse is None else SparseEmbedding.from_dict(sparse),
    )
