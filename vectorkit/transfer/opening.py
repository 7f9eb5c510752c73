"""From what a user names, a URL or a store, to a source."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote

from vectorkit.protocol import VectorBackend
from vectorkit.registry import open_backend
from vectorkit.store import VectorStore
from vectorkit.transfer.sources import Source
from vectorkit.transfer.stores import StoreSource

__all__ = ["open_source", "without_password"]

_SECRETS: Final = re.compile(r"(://[^:/@]*:).*(?=@)|(password=)[^&\s]+", re.IGNORECASE)


@contextmanager
def open_source(where: str | VectorStore | VectorBackend) -> Generator[Source]:
    """Open a source for as long as the context lasts; a store or backend that is handed in stays open after it.

    Args:
        where: A URL as for `vectorkit.connect`, a store or a backend.

    Raises:
        InvalidArgumentError: No backend is registered for the URL, or it is malformed.
        MissingDependencyError: The client library is not installed; the message holds the pip line.
        BackendError: The store cannot be opened.
    """
    if isinstance(where, VectorStore):
        where = where.backend
    if not isinstance(where, str):
        yield StoreSource(where, where.name)
        return
    backend = open_backend(where)
    try:
        yield StoreSource(backend, without_password(where))
    finally:
        backend.close()


def without_password(url: str) -> str:
    """The URL with `***` in place of a password, as a part of its own or as a parameter; to be shown, not opened."""
    scheme, mark, rest = url.partition(":?")
    if scheme == "mirror" and mark:  # its parts are URLs, percent-encoded
        parts = [part.partition("=") for part in rest.split("&")]
        return f"mirror:?{'&'.join(name + equals + without_password(unquote(part)) for name, equals, part in parts)}"
    return _SECRETS.sub(r"\1\2***", url)
