"""From what a user names, a URL or a store, to a source or a target."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias, TypeGuard

from vectorkit.errors import InvalidArgumentError
from vectorkit.protocol import VectorBackend
from vectorkit.registry import open_backend
from vectorkit.store import VectorStore
from vectorkit.transfer.files.file import SCHEME, FileSource, FileTarget
from vectorkit.transfer.sources import Source, Target
from vectorkit.transfer.stores import StoreSource, StoreTarget
from vectorkit.urls import shown_url

__all__ = ["Place", "open_source", "open_target"]

Place: TypeAlias = str | VectorStore | VectorBackend
"""A URL as for `vectorkit.connect`, `file:PATH.parquet` or `file:PATH.jsonl`, a store or a backend."""


@contextmanager
def open_source(where: Place) -> Generator[Source]:
    """Open a source for as long as the context lasts; a store or backend that is handed in stays open after it.

    Args:
        where: What is named.

    Raises:
        InvalidArgumentError: No backend is registered for the URL, or it is malformed, or there is no such file.
        MissingDependencyError: The client library is not installed; the message holds the pip line.
        BackendError: The store cannot be opened.
    """
    if _is_file(where):
        yield FileSource(where)
        return
    with _opened(where) as (backend, label):
        yield StoreSource(backend, label)


@contextmanager
def open_target(where: Place) -> Generator[Target]:
    """Open a target for as long as the context lasts; argument and errors as of `open_source`."""
    if _is_file(where):
        yield FileTarget(where)
        return
    with _opened(where) as (backend, label):
        yield StoreTarget(backend, label)


def _is_file(where: Place) -> TypeGuard[str]:
    return isinstance(where, str) and where.startswith(SCHEME)


@contextmanager
def _opened(where: Place) -> Generator[tuple[VectorBackend, str]]:
    if isinstance(where, VectorStore):
        where = where.backend
    if isinstance(where, VectorBackend):
        yield where, where.name
        return
    if not isinstance(where, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(
            f"a source or target must be a URL, a VectorStore or a VectorBackend, got {type(where).__name__}"
        )
    backend = open_backend(where)
    try:
        yield backend, shown_url(where)
    finally:
        backend.close()
