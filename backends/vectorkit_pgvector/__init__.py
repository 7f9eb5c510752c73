"""The Postgres backend: collections as tables, searched with pgvector."""

from vectorkit.errors import MissingDependencyError

try:
    import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    import psycopg_pool  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError as error:
    raise MissingDependencyError(
        f"the Postgres backend needs psycopg and its pool ({error}): pip install 'vectorkit-db[pgvector]'"
    ) from error

from vectorkit_pgvector._backend import PgVectorBackend

__all__ = ["PgVectorBackend"]
