"""Chroma as a backend of vectorkit: in memory, on disk, on a Chroma server, or through the caller's own client.

Registered for the URLs `chroma:`, `chroma:PATH`, `chroma+http://…` and `chroma+https://…`.
"""

from typing import Final

from vectorkit.errors import MissingDependencyError

try:
    import chromadb
except (ImportError, RuntimeError) as error:  # RuntimeError: it finds SQLite too old
    raise MissingDependencyError(
        f"Chroma's client cannot be imported ({error}); install it: pip install 'vectorkit-db[chroma]'"
    ) from error

_OLDEST: Final = (1, 0, 21)
"""The oldest chromadb that passes the conformance suite; 1.0.0 does not."""

# Before the modules below are imported: they use what an older one may lack.
if tuple(int(part) for part in chromadb.__version__.split(".")[:3] if part.isdecimal()) < _OLDEST:
    raise MissingDependencyError(
        f"chromadb {chromadb.__version__} is too old, {'.'.join(map(str, _OLDEST))} or newer is needed; upgrade it: "
        "pip install --upgrade 'vectorkit-db[chroma]'"
    )

from vectorkit_chroma._backend import ChromaBackend  # noqa: E402

__all__ = ["ChromaBackend"]
