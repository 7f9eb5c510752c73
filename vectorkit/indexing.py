"""The methods of `Collection` that concern its vector index."""

from collections.abc import Callable

from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.indexes import HNSW, IndexChoice, IndexProgress, as_index, check_metric
from vectorkit.protocol import IndexedBackend, VectorBackend
from vectorkit.types import CollectionInfo

__all__ = ["IndexMethods"]


class IndexMethods:
    """Building and dropping the index of a collection.

    Args:
        backend: Where the collection is.
        info: The collection; its index is kept up to date.
    """

    def __init__(self, backend: VectorBackend, info: CollectionInfo) -> None:
        self._backend = backend
        self._info = info

    def create_index(
        self, index: IndexChoice | None = None, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> None:
        """Give the collection a vector index in place of the one it has, if any, while it stays in use.

        Nothing happens if it has this very one. Up to 2,000 records searches are exact anyway, so with fewer the index
        is built by the write that exceeds them (an `IVFFlat` with `lists`: that brings 50 records a list). Other
        objects of this collection, in whatever process, know of the change when they are opened anew; their answers
        are right all the same.

        Args:
            index: `"hnsw"`, `"ivfflat"`, or an `HNSW` or `IVFFlat` with settings of its own; None: the one that the
                collection is to have, or else `"hnsw"`.
            progress: Called now and then with how far it is, and at the end; an exception of its own ends the building.

        Raises:
            UnsupportedError: The backend's indexes cannot be changed, or it has no such one for this dimension or
                metric; or it cannot report progress here.
            InvalidArgumentError: `index` is not one of those.
            BackendError: An index of this collection is being built already.
        """
        chosen = self._info.spec.index or HNSW() if index is None else as_index(index)
        if chosen is None:
            raise InvalidArgumentError("create_index makes an index, and 'none' is none; use drop_index()")
        check_metric(chosen, self._info.metric)
        self._info = self._indexed.create_index(self._info, chosen, progress=progress)

    def drop_index(self) -> None:
        """Drop the vector index, if there is one: every search compares all records from then on.

        Raises:
            UnsupportedError: The backend's indexes cannot be changed.
            BackendError: An index of this collection is being built.
        """
        self._info = self._indexed.drop_index(self._info)

    def reindex(self, *, progress: Callable[[IndexProgress], object] | None = None) -> None:
        """Build the vector index anew, while the collection stays in use: after many deletes, or for more `lists`.

        Args:
            progress: As for `create_index`.

        Raises:
            UnsupportedError: The collection has no index, the backend's cannot be changed, or it cannot report
                progress here.
            BackendError: An index of this collection is being built already.
        """
        backend = self._indexed
        if self._info.spec.index is None:
            raise UnsupportedError(f"collection {self._info.name!r} has no index; create_index() makes one")
        self._info = backend.reindex(self._info, progress=progress)

    @property
    def _indexed(self) -> IndexedBackend:
        if not isinstance(self._backend, IndexedBackend):
            raise UnsupportedError(
                f"the indexes of {self._backend.name} cannot be changed after a collection was created; give "
                "create_collection the index wanted"
            )
        return self._backend
