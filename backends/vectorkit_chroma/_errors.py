"""Chroma's exceptions, and those of what lies below it, as ours: one context manager around every call of the client.

chromadb reports the same condition in different ways: from the Rust bindings (in memory, on disk) as a `ChromaError`
or a panic, over HTTP as a `ChromaError`, a bare `Exception` with the response's text, or an exception of httpx. Some
conditions can be told by the text alone; those texts were observed with chromadb 1.5.9.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Final

import httpx
from chromadb import errors as chroma

from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    BackendTimeoutError,
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    VectorKitError,
)

__all__ = ["is_index_lost", "is_too_large", "mapped", "translate"]

_TYPES: Final[tuple[tuple[type[Exception], type[VectorKitError]], ...]] = (
    (chroma.NotFoundError, CollectionNotFoundError),
    (chroma.UniqueConstraintError, CollectionExistsError),
    (chroma.ChromaAuthError, BackendPermissionError),
    (chroma.AuthorizationError, BackendPermissionError),
    (chroma.ChromaError, BackendError),  # all that follow from a call that Chroma refuses or fails in
    (httpx.TimeoutException, BackendTimeoutError),
    (httpx.TransportError, BackendUnavailableError),
    (TimeoutError, BackendTimeoutError),
    (ConnectionError, BackendUnavailableError),
    (PermissionError, BackendPermissionError),
)

_TEXTS: Final[tuple[tuple[str, type[VectorKitError]], ...]] = (
    ("already exists", CollectionExistsError),
    ("Missing metadata segment", CollectionNotFoundError),  # dropped by another client while a call was under way
    ("Could not connect to a Chroma server", BackendUnavailableError),
    ("unable to open database file", BackendPermissionError),
    ("readonly database", BackendPermissionError),
    ("Permission denied", BackendPermissionError),
)

_STATUSES: Final[dict[int, type[VectorKitError]]] = {
    401: BackendPermissionError,
    403: BackendPermissionError,
    408: BackendTimeoutError,
    502: BackendUnavailableError,
    503: BackendUnavailableError,
    504: BackendTimeoutError,
}

_HINTS: Final[dict[type[VectorKitError], str]] = {
    CollectionNotFoundError: "; it was dropped since it was opened, or never created",
    CollectionExistsError: "; open it with get_collection, or use another name",
    BackendPermissionError: "; check who may write there, or the headers given",
    BackendTimeoutError: "; look at the server's load, or give a longer timeout (timeout=, or ?timeout=… in the URL)",
    BackendUnavailableError: "; check that a Chroma server runs there (chroma run --path PATH)",
}

_TOO_LARGE: Final = "Payload too large"
_LOST: Final = ("Error finding id", "Error getting embedding", "Nothing found on disk")


class mapped:
    """A context manager: whatever the client raises in it leaves as one of our errors, with theirs as its cause.

    A class, as a generator would take longer than the rest of a search's own work.

    Args:
        doing: What is being done ("reading"), for the message.
        what: What it is done to ("collection 'docs' of chroma:./kb"), for the message.
    """

    __slots__ = ("_doing", "_what")

    def __init__(self, doing: str, what: str) -> None:
        self._doing = doing
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, VectorKitError):
            return
        what = f"{self._doing} {self._what}"
        if isinstance(error, Exception):
            raise translate(error, what) from error
        # A panic in Rust is a BaseException of pyo3, so that no handler takes it for an ordinary error.
        if type(error).__name__ == "PanicException":
            raise BackendError(f"{what} failed: Chroma panicked: {_text(error)}") from error


def translate(error: Exception, what: str) -> VectorKitError:
    """Return the error that says in our terms what `error` of the client says."""
    kind = _kind(error)
    return kind(f"{what} failed: {_text(error)}{_HINTS.get(kind, '')}")


def is_index_lost(error: BaseException) -> bool:
    """Whether Chroma reports that it lost a vector index that it can load again.

    It does so when its cache of indexes is full, and when a record vanishes between the steps of a query.
    """
    return any(text in str(error.__cause__) for text in _LOST)


def is_too_large(error: BaseException) -> bool:
    """Whether a server, or a gateway before it, refused a request for its size: it has not been carried out."""
    return any(
        (isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == 413) or _TOO_LARGE in str(cause)
        for cause in _chain(error)
    )


def _kind(error: Exception) -> type[VectorKitError]:
    text = str(error)
    for fragment, kind in _TEXTS:
        if fragment in text:
            return kind
    for cause in _chain(error):
        if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code in _STATUSES:
            return _STATUSES[cause.response.status_code]
        for theirs, kind in _TYPES:
            if isinstance(cause, theirs):
                return kind
    return BackendError


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those it was raised from or while handling: the client re-raises some as bare `Exception`."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
