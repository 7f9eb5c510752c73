"""Chroma as a backend of vectorkit: in memory, on disk, on a Chroma server, or through the caller's own client.

Registered for the URLs `chroma:`, `chroma:PATH`, `chroma+http://…` and `chroma+https://…`.
"""

from vectorkit.errors import MissingDependencyError

try:
    import chromadb  # noqa: F401  # pyright: ignore[reportUnusedImport]
except (ImportError, RuntimeError) as error:  # RuntimeError: it finds SQLite too old
    raise MissingDependencyError(
        f"Chroma's client cannot be imported ({error}); install it: pip install 'vectorkit-db[chroma]'"
    ) from error

from vectorkit_chroma._backend import ChromaBackend

__all__ = ["ChromaBackend"]
