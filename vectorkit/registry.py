"""From a URL to a backend, through the entry-point group `vectorkit.backends`.

An entry point's name is a URL scheme, its object a callable that takes the URL and returns a `VectorBackend`.
First-party backends register in the same way as third-party ones.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vectorkit.errors import InvalidArgumentError, MissingDependencyError
from vectorkit.protocol import VectorBackend
from vectorkit.urls import shown_scheme

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "backend_class", "open_backend", "schemes"]

GROUP: Final = "vectorkit.backends"


def schemes() -> list[str]:
    """Return the URL schemes that are known, whether or not the client libraries they need are installed."""
    return sorted(_known())


def open_backend(url: str) -> VectorBackend:
    """Open the backend that a URL names.

    Args:
        url: `scheme:rest`, such as `"memory:"`, `"chroma:./kb"` or `"postgresql://host/db"`.

    Raises:
        InvalidArgumentError: No scheme, or one that nothing registers.
        MissingDependencyError: The backend's client library is not installed; the message holds the pip line.
        BackendError: The store cannot be opened.
    """
    backend: VectorBackend = _factory(url)(url)
    return backend


def backend_class(url: str) -> object:
    """Return the class whose class method opens the backend that a URL names; None if a function does.

    Raises:
        InvalidArgumentError: As for `open_backend`.
        MissingDependencyError: As for `open_backend`.
    """
    return getattr(_factory(url), "__self__", None)


def _factory(url: str) -> Callable[[str], VectorBackend]:
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"a URL is a str, not {type(url).__name__}")
    scheme, colon, _ = url.partition(":")
    known = _known()
    if not colon or scheme not in known:
        # Of an unknown URL only the scheme is shown: the rest may hold a password.
        scheme_shown = shown_scheme(url)
        shown = "a URL without a scheme" if scheme_shown is None else repr(scheme_shown)
        raise InvalidArgumentError(
            f"no backend for {shown}; known URLs begin with {', '.join(name + ':' for name in sorted(known))}"
        )
    try:
        factory: Callable[[str], VectorBackend] = known[scheme].load()
    except ImportError as error:
        if isinstance(error, MissingDependencyError):
            raise
        raise MissingDependencyError(f"the backend for {scheme}: cannot be imported: {error}") from error
    return factory


def _known() -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points  # it takes as long to load as the rest of this library

    return {point.name: point for point in entry_points(group=GROUP)}
