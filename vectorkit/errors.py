"""Typed errors: one root, and a builtin beside it where one fits.

::

    VectorKitError
    ├── InvalidArgumentError (ValueError)      an argument breaks the contract; nothing was written
    │   ├── InvalidFilterError                 a `where` or `where_document` filter
    │   ├── InvalidVectorError                 an embedding or a query vector
    │   │   └── DimensionMismatchError         its length differs from the collection's
    │   ├── InvalidMetadataError               a metadata object
    │   ├── InvalidIdError                     a record id
    │   └── InvalidNameError                   a collection name
    ├── CollectionNotFoundError (LookupError)
    ├── CollectionExistsError
    ├── CollectionMismatchError                opened with other settings than it was created with
    ├── DuplicateIdError                       an id named twice in a call, or already stored
    ├── RecordNotFoundError (LookupError)      `update` of an id that is not stored
    ├── PartialWriteError                      a later part of a split write failed
    ├── EmbeddingError                         an embedder failed, or is missing
    ├── RerankingError                         a re-ranker failed, or returned what is no score a document
    ├── UnsupportedError (NotImplementedError)
    ├── MissingDependencyError (ImportError)
    └── BackendError                           what the store itself reports
        ├── BackendUnavailableError (ConnectionError)
        ├── BackendTimeoutError (TimeoutError)
        └── BackendPermissionError (PermissionError)

A client's own exception never escapes: it is the ``__cause__`` of one of these. Messages say what was wrong, what
was expected and what to do; they never hold a password, a key or a whole vector.
"""

from collections.abc import Sequence

__all__ = [
    "BackendError",
    "BackendPermissionError",
    "BackendTimeoutError",
    "BackendUnavailableError",
    "CollectionExistsError",
    "CollectionMismatchError",
    "CollectionNotFoundError",
    "DimensionMismatchError",
    "DuplicateIdError",
    "EmbeddingError",
    "InvalidArgumentError",
    "InvalidFilterError",
    "InvalidIdError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidVectorError",
    "MissingDependencyError",
    "PartialWriteError",
    "RecordNotFoundError",
    "RerankingError",
    "UnsupportedError",
    "VectorKitError",
]


class VectorKitError(Exception):
    """Root of every error this library raises."""


class InvalidArgumentError(VectorKitError, ValueError):
    """An argument breaks the contract: a wrong type, value or combination. Nothing was written."""


class InvalidFilterError(InvalidArgumentError):
    """A filter is malformed; the message shows the offending part."""


class InvalidVectorError(InvalidArgumentError):
    """An embedding or query vector is missing, not numeric, not finite, or of a norm out of range."""


class DimensionMismatchError(InvalidVectorError):
    """A vector's length differs from the dimension of the collection; the message names both."""


class InvalidMetadataError(InvalidArgumentError):
    """A metadata object is not JSON within the limits; the message names the record's id, the key and the type."""


class InvalidIdError(InvalidArgumentError):
    """A record id is not a string of 1 to 512 characters without NUL and lone surrogates."""


class InvalidNameError(InvalidArgumentError):
    """A collection name is not 3 to 48 characters of ``[a-zA-Z0-9_-]`` that begin and end with a letter or digit."""


class CollectionNotFoundError(VectorKitError, LookupError):
    """The collection does not exist, or was dropped since the handle was opened."""


class CollectionExistsError(VectorKitError):
    """A collection of that name exists already."""


class CollectionMismatchError(VectorKitError):
    """A collection was opened with a metric, dimension, embedder or language other than those it was created with."""


class DuplicateIdError(VectorKitError):
    """An id is named twice in one call, or `add` was given ids that are stored already. Nothing was written."""


class RecordNotFoundError(VectorKitError, LookupError):
    """`update` was given ids that are not stored. Nothing was written."""


class PartialWriteError(VectorKitError):
    """A write or a deletion that had to be split failed after some of its parts were done.

    Attributes:
        written: The ids that were written, or deleted, before the failure, in the order given.
    """

    def __init__(self, message: str, written: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.written: tuple[str, ...] = tuple(written)


class EmbeddingError(VectorKitError):
    """An embedder failed or returned something that is no embedding, or there is none where one is needed.

    Attributes:
        index: Which of the texts given to the embedder is at fault, from 0, where the embedder knows.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class RerankingError(VectorKitError):
    """A re-ranker failed, or returned something that is not one finite number a document."""


class UnsupportedError(VectorKitError, NotImplementedError):
    """The backend cannot do what was asked; it is never approximated in silence."""


class MissingDependencyError(VectorKitError, ImportError):
    """An optional package is not installed; the message holds the `pip install` line."""


class BackendError(VectorKitError):
    """What the store itself reports; the client's exception is the ``__cause__``."""


class BackendUnavailableError(BackendError, ConnectionError):
    """The store cannot be reached, or the connection to it was lost."""


class BackendTimeoutError(BackendError, TimeoutError):
    """The store did not answer in the time allowed."""


class BackendPermissionError(BackendError, PermissionError):
    """The store, or the operating system, refuses access."""
