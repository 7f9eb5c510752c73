"""Creating a collection with an index that its store has."""

from dataclasses import replace

from vectorkit.errors import UnsupportedError
from vectorkit.indexes import (
    HNSW,
)
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo, CollectionSpec

__all__ = ["create_with_an_index"]


def create_with_an_index(backend: VectorBackend, spec: CollectionSpec) -> CollectionInfo:
    """Create a collection with the index that is wanted or, where the store lacks that, the best that it has.

    An index changes no exact result, so what came from another store may have another one here.

    Raises:
        UnsupportedError: The store cannot hold such a collection, whatever the index.
        CollectionExistsError: The name is taken.
    """
    error: UnsupportedError | None = None
    for index in dict.fromkeys((spec.index, HNSW(), None)):
        try:
            return backend.create_collection(replace(spec, index=index))
        except UnsupportedError as unsupported:
            error = error or unsupported
    assert error is not None
    raise error
