"""The methods of `Collection` that concern its vector index."""

from collections.abc import Callable
from dataclasses import replace

from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.indexes import (
    HNSW,
    MAX_EF_SEARCH,
    MAX_PROBES,
    IndexChoice,
    IndexProgress,
    IVFFlat,
    as_index,
    check_metric,
)
from vectorkit.intake import Intake
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.types import CollectionInfo, CollectionSpec
from vectorkit.validation import check_between

__all__ = ["IndexMethods", "create_with_an_index"]


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


class IndexMethods:
    """Building and dropping the index of a collection.

    Args:
        backend: Where the collection is.
        info: The collection; its index is kept up to date.
        embedder: Makes vectors of texts.
    """

    def __init__(self, backend: VectorBackend, info: CollectionInfo, embedder: Embedder | None) -> None:
        self._backend = backend
        self._info = info
        self._intake = Intake(info.spec, embedder)

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
        self._info = self._backend.create_index(self._info, chosen, progress=progress)

    def drop_index(self) -> None:
        """Drop the vector index, if there is one: every search compares all records from then on.

        Raises:
            UnsupportedError: The backend's indexes cannot be changed.
            BackendError: An index of this collection is being built.
        """
        self._info = self._backend.drop_index(self._info)

    def reindex(self, *, progress: Callable[[IndexProgress], object] | None = None) -> None:
        """Build the vector index anew, while the collection stays in use: after many deletes, or for more `lists`.

        Args:
            progress: As for `create_index`.

        Raises:
            UnsupportedError: The collection has no index, the backend's cannot be changed, or it cannot report
                progress here.
            BackendError: An index of this collection is being built already.
        """
        if self._backend.capabilities.index_changes and self._info.spec.index is None:
            raise UnsupportedError(f"collection {self._info.name!r} has no index; create_index() makes one")
        self._info = self._backend.reindex(self._info, progress=progress)

    def _effort(self, exact: bool | None, ef_search: int | None, probes: int | None) -> int | None:
        """What a single search asks of the index, checked: `ef_search` or `probes`."""
        if ef_search is None and probes is None:
            return None
        if ef_search is not None and probes is not None:
            raise InvalidArgumentError("ef_search= is a setting of HNSW, probes= of IVFFlat: no index has both")
        kind: type[HNSW] | type[IVFFlat] = IVFFlat if ef_search is None else HNSW
        name, most = ("probes", MAX_PROBES) if ef_search is None else ("ef_search", MAX_EF_SEARCH)
        effort = check_between(probes if ef_search is None else ef_search, 1, most, name)
        if exact is True:
            raise InvalidArgumentError(f"an exact search uses no index, so {name}= has no effect; leave it out")
        if not self._backend.capabilities.index_changes:
            raise UnsupportedError(f"{self._backend.name} has no {name} for a single search; leave it out")
        if not isinstance(self._info.spec.index, kind):
            held = "no index" if self._info.spec.index is None else type(self._info.spec.index).__name__
            raise UnsupportedError(
                f"{name}= is a setting of {kind.__name__}, and collection {self._info.name!r} has {held}; leave it "
                "out, or give it another index with create_index()"
            )
        return effort
