"""`VectorStore` and `Collection`: what a user holds. Every argument is checked here, then a backend is called."""

import warnings
from types import TracebackType
from typing import Self

from vectorkit import registry, text
from vectorkit.collection import Collection
from vectorkit.columns import Columns, as_columns
from vectorkit.embedding import identity_of
from vectorkit.errors import (
    CollectionExistsError,
    CollectionMismatchError,
    CollectionNotFoundError,
    InvalidArgumentError,
    UnsupportedError,
)
from vectorkit.indexes import IndexChoice, as_index, check_metric
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.types import CollectionInfo, CollectionSpec, EmbedderIdentity
from vectorkit.validation import MetricName, as_metric, check_dimension, check_flag, check_name

__all__ = ["Collection", "EmbedderRevisionWarning", "VectorStore", "connect"]


class EmbedderRevisionWarning(UserWarning):
    """The embedder's weights are another revision than those a collection was made with (rule 1.4)."""


def connect(url: str) -> "VectorStore":
    """Open a vector store.

    Args:
        url: `memory:` · `chroma:` (in memory) · `chroma:PATH` · `chroma+http://host:port` · `chroma+https://…` ·
            `postgresql://…` (anything libpq takes) · `postgresql+embedded:PATH` (a real server, started for you) ·
            `mirror:?primary=URL&secondary=URL&journal=PATH` (two of them, kept equal).

    Raises:
        InvalidArgumentError: No backend is registered for the URL, or it is malformed.
        MissingDependencyError: The client library is not installed; the message holds the pip line.
        BackendError: The store cannot be opened.
    """
    return VectorStore(registry.open_backend(url))


class VectorStore:
    """Collections in one backend. A context manager that closes it.

    Args:
        backend: What stores the records; `connect` makes one from a URL.
    """

    def __init__(self, backend: VectorBackend) -> None:
        if not isinstance(backend, VectorBackend):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(
                f"backend must be a VectorBackend, got {type(backend).__name__}; derive its class from VectorBackend, "
                "or for a URL use vectorkit.connect(url)"
            )
        self._backend = backend

    def __repr__(self) -> str:
        return f"VectorStore({self._backend!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def backend(self) -> VectorBackend:
        """The backend, for what only it can do."""
        return self._backend

    def create_collection(
        self,
        name: str,
        *,
        embedder: Embedder | None = None,
        dimension: int | None = None,
        metric: MetricName = "cosine",
        index: IndexChoice = "hnsw",
        text_index: bool = False,
        language: str = "english",
        columns: Columns | None = None,
    ) -> "Collection":
        """Create a collection.

        Args:
            name: 3 to 48 characters of `[a-zA-Z0-9_-]`, first and last one a letter or digit.
            embedder: Makes vectors of documents and text queries; its identity is stored with the collection.
            dimension: Length of the vectors, 1 to 16,000; the embedder's if left out.
            metric: `"cosine"`, `"l2"` or `"ip"` (alias `"dot"`).
            index: `"hnsw"`, `"ivfflat"`, an `HNSW` or `IVFFlat` with settings of its own, or `"none"`. A backend that
                compares all records in every search takes any of them; its results are those of the best.
            text_index: Whether to index the words of the documents too, for text and hybrid search.
            language: Language of the text index, one of `vectorkit.text.LANGUAGES`; `"none"` for any.
            columns: Metadata keys that filters often name, with the type their values mostly have (`int`, `float`,
                `str`, `bool`, or `datetime.date` for strings like `"2024-12-31"`). Postgres keeps them in indexed
                columns besides. They change no result, also where a value is of another type, and other stores have
                nothing to do. A key has at most 63 bytes, and is not `id`, `document`, `metadata` or `embedding`.

        Raises:
            InvalidNameError: The name is not allowed.
            InvalidArgumentError: Another argument is not, or neither embedder nor dimension is given.
            CollectionExistsError: The name is taken.
            UnsupportedError: The backend cannot hold such a collection, or has no such index; or
                `quantization="binary"` with another metric than cosine.
            MissingDependencyError: The stemmers for a text index are not installed; the message holds the pip line.
        """
        spec = CollectionSpec(
            name=check_name(name),
            metric=as_metric(metric),
            dimension=_dimension(dimension, embedder),
            embedder=None if embedder is None else identity_of(embedder),
            index=as_index(index),
            text_index=check_flag(text_index, "text_index"),
            language=text.check_language(language),
            columns=as_columns(columns),
        )
        check_metric(spec.index, spec.metric)
        if spec.metric not in self._backend.capabilities.metrics:
            raise UnsupportedError(
                f"metric must be one of {', '.join(self._backend.capabilities.metrics)} on {self._backend.name}, got "
                f"{spec.metric}; use one of these, or another store"
            )
        if spec.text_index and self._backend.capabilities.text_search:
            text.analyzer(spec.language)  # which fails where the stemmers are missing, before anything is made
        return Collection(self._backend, self._backend.create_collection(spec), embedder)

    def get_collection(self, name: str, *, embedder: Embedder | None = None) -> "Collection":
        """Open a collection.

        Args:
            name: Its name.
            embedder: The embedder it was created with; without one, only vectors can be searched and written.

        Raises:
            InvalidNameError: The name is not allowed.
            CollectionNotFoundError: There is none of that name.
            CollectionMismatchError: It was created with another embedder, or with none.
        """
        return self._opened(name, embedder)

    def get_or_create_collection(
        self,
        name: str,
        *,
        embedder: Embedder | None = None,
        dimension: int | None = None,
        metric: MetricName | None = None,
        index: IndexChoice = "hnsw",
        text_index: bool = False,
        language: str | None = None,
        columns: Columns | None = None,
    ) -> "Collection":
        """Open a collection, or create it if there is none; arguments as in `create_collection`.

        With `text_index=True` the text index is made if the collection has none, of the documents it holds.

        Raises:
            CollectionMismatchError: It exists, and an argument that was given (metric, dimension, embedder,
                language) differs from what it was created with. Index settings and columns are not compared.
            InvalidArgumentError: As in `create_collection`.
            UnsupportedError: As in `create_collection`, or of `Collection.create_text_index`.
        """
        given = {
            "dimension": None if dimension is None else check_dimension(dimension),
            "metric": None if metric is None else as_metric(metric),
            "language": None if language is None else text.check_language(language),
        }
        check_flag(text_index, "text_index")
        try:
            collection = self._opened(name, embedder)
        except CollectionNotFoundError:
            try:
                return self.create_collection(
                    name,
                    embedder=embedder,
                    dimension=dimension,
                    metric=metric or "cosine",
                    index=index,
                    text_index=text_index,
                    language=language or "english",
                    columns=columns,
                )
            except CollectionExistsError:  # another process was faster
                collection = self._opened(name, embedder)
        spec = collection.info().spec
        for what, value in given.items():
            if value is not None and value != (stored := getattr(spec, what)):
                raise CollectionMismatchError(
                    f"collection {name!r} was created with {what} {stored!r}, not {value!r}; "
                    f"leave {what}= out, or use another name"
                )
        if text_index and not spec.text_index:
            collection.create_text_index()
        return collection

    def list_collections(self) -> list[CollectionInfo]:
        """Return all collections, in ascending order of name."""
        return self._backend.list_collections()

    def drop_collection(self, name: str, *, missing_ok: bool = False) -> None:
        """Drop a collection and all its records.

        Raises:
            InvalidNameError: The name is not allowed.
            CollectionNotFoundError: There is none of that name, unless `missing_ok`.
        """
        check_flag(missing_ok, "missing_ok")
        try:
            self._backend.drop_collection(check_name(name))
        except CollectionNotFoundError:
            if not missing_ok:
                raise

    def close(self) -> None:
        """Close the backend; calling it again does nothing."""
        self._backend.close()

    def _opened(self, name: str, embedder: Embedder | None) -> "Collection":
        info = self._backend.open_collection(check_name(name))
        if embedder is not None:
            _check_embedder(info, identity_of(embedder))
        return Collection(self._backend, info, embedder)


def _dimension(dimension: int | None, embedder: Embedder | None) -> int:
    made = None if embedder is None else check_dimension(identity_of(embedder).dimension)
    if dimension is None:
        if made is None:
            raise InvalidArgumentError("the dimension is not known: give embedder= or dimension=")
        return made
    given = check_dimension(dimension)
    if made is not None and made != given:
        raise InvalidArgumentError(f"dimension={given}, but the embedder makes vectors of {made}; leave dimension out")
    return given


def _check_embedder(info: CollectionInfo, given: EmbedderIdentity) -> None:
    stored = info.spec.embedder
    if stored is None:
        raise CollectionMismatchError(
            f"collection {info.name!r} was created without an embedder, so its vectors cannot be known to come from "
            f"{given.model!r}; open it without embedder= and search with vectors, or have its documents embedded: "
            f"get_collection({info.name!r}).reembed(embedder)"
        )
    if stored != given:
        raise CollectionMismatchError(
            f"collection {info.name!r} was created with embedder {_named(stored)}, not {_named(given)}: their vectors "
            f"do not compare; open it with the former, or embed its documents anew: "
            f"get_collection({info.name!r}).reembed(embedder)"
        )
    if stored.revision and given.revision and stored.revision != given.revision:
        warnings.warn(
            f"collection {info.name!r} was created with weights {stored.revision[:16]} of {given.model!r}, "
            f"these are {given.revision[:16]}; vectors may differ slightly",
            EmbedderRevisionWarning,
            stacklevel=4,  # the caller of `get_collection` or `get_or_create_collection`
        )


def _named(identity: EmbedderIdentity) -> str:
    prompts = "".join(
        f", {what} prompt {text!r}"
        for what, text in (("query", identity.query_prompt), ("document", identity.document_prompt))
        if text
    )
    scaled = "" if identity.normalize else ", not normalised"
    return f"{identity.model!r} ({identity.kind}, {identity.dimension} dimensions{prompts}{scaled})"
