"""What a mirror has besides the protocol, if its primary has it: text search, indexes, replacing."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

from vectorkit.filters import Filter
from vectorkit.indexes import Index, IndexProgress
from vectorkit.mirror._base import Mirroring, View
from vectorkit.mirror._sampling import Answers
from vectorkit.protocol import IndexedBackend, ReplacingBackend, TextSearchBackend
from vectorkit.types import Candidate, CollectionInfo, Explanation, FloatArray, Hit, Ranking

__all__ = ["fitting"]


class _Texts(Mirroring):
    """`TextSearchBackend`."""

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        """See `TextSearchBackend.create_text_index`; the secondary makes its own."""
        with self._writing() as write:
            info = write.view.here(collection)
            write.made(info)
            return write.view.handed(cast(TextSearchBackend, write.view.first).create_text_index(info, progress))

    def search_text(
        self,
        collection: CollectionInfo,
        queries: Sequence[Sequence[str]],
        k: int,
        *,
        where: Filter | None = None,
        include_embeddings: bool = False,
    ) -> list[list[Hit]]:
        """See `TextSearchBackend.search_text`."""
        return self._asked(
            collection,
            lambda store, info: cast(TextSearchBackend, store).search_text(
                info, queries, k, where=where, include_embeddings=include_embeddings
            ),
            lambda found: [{hit.id: hit.score for hit in hits} for hits in found],
        )

    def search_hybrid(
        self,
        collection: CollectionInfo,
        vectors: FloatArray,
        queries: Sequence[Sequence[str]],
        fetch_k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[list[Candidate]]:
        """See `TextSearchBackend.search_hybrid`; the scores compared are those of the vectors."""

        def scores(found: list[list[Candidate]]) -> Answers:
            return [{each.hit.id: each.hit.score for each in candidates} for candidates in found]

        return self._asked(
            collection,
            lambda store, info: cast(TextSearchBackend, store).search_hybrid(
                info, vectors, queries, fetch_k, where=where, exact=exact, include_embeddings=include_embeddings
            ),
            scores,
        )


class _Indexes(Mirroring):
    """`IndexedBackend`: the indexes of the primary. The secondary's are its own, as are its searches' settings."""

    def create_index(
        self,
        collection: CollectionInfo,
        index: Index,
        *,
        progress: Callable[[IndexProgress], object] | None = None,
    ) -> CollectionInfo:
        """See `IndexedBackend.create_index`."""
        view = self._ready()
        return view.handed(_indexed(view).create_index(view.here(collection), index, progress=progress))

    def drop_index(self, collection: CollectionInfo) -> CollectionInfo:
        """See `IndexedBackend.drop_index`."""
        view = self._ready()
        return view.handed(_indexed(view).drop_index(view.here(collection)))

    def reindex(
        self, collection: CollectionInfo, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> CollectionInfo:
        """See `IndexedBackend.reindex`."""
        view = self._ready()
        return view.handed(_indexed(view).reindex(view.here(collection), progress=progress))

    def search_tuned(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        effort: int,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """See `IndexedBackend.search_tuned`; these searches are not sampled."""
        view = self._ready()
        return _indexed(view).search_tuned(
            view.here(collection),
            queries,
            k,
            effort=effort,
            where=where,
            exact=exact,
            include_embeddings=include_embeddings,
        )

    def explain(
        self,
        collection: CollectionInfo,
        query: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        effort: int | None = None,
    ) -> Explanation:
        """See `IndexedBackend.explain`."""
        view = self._ready()
        return _indexed(view).explain(view.here(collection), query, k, where=where, exact=exact, effort=effort)


def _indexed(view: View) -> IndexedBackend:
    return cast(IndexedBackend, view.first)


class _Replaces(Mirroring):
    """`ReplacingBackend`."""

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `ReplacingBackend.replace_collection`; the secondary drops both, and is given the new one again."""
        with self._writing() as write:
            old, new = write.view.here(old), write.view.here(new)
            write.dropped(old, new)
            self._prepared = False  # should an interrupt come before the journal has it, the next use looks for it
            info = cast(ReplacingBackend, write.view.first).replace_collection(old, new)
            write.made(info)
            self._prepared = True
            return write.view.handed(info)


@cache
def fitting(base: type, texts: bool, indexed: bool, replacing: bool) -> type:
    """The class of a mirror that has these, and of the others nothing: `isinstance` says what a store can do."""
    parts = [part for part, wanted in ((_Texts, texts), (_Indexes, indexed), (_Replaces, replacing)) if wanted]
    return type(base.__name__, (base, *parts), {"__module__": base.__module__, "__doc__": base.__doc__})
