"""What a mirror has besides the protocol, if its primary has it: text search, indexes, replacing."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

from vectorkit.filters import Filter
from vectorkit.indexes import Index, IndexProgress
from vectorkit.mirror._base import Mirroring
from vectorkit.mirror._journal import Entry, mark_of
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
        with self._noting() as noted:
            here = self._here(collection)
            noted += self._journal.append([Entry(here.name, mark_of(here), "ids")])
            return self._handed(cast(TextSearchBackend, self.primary).create_text_index(here, progress))

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
        return self._handed(self._indexed.create_index(self._here(collection), index, progress=progress))

    def drop_index(self, collection: CollectionInfo) -> CollectionInfo:
        """See `IndexedBackend.drop_index`."""
        return self._handed(self._indexed.drop_index(self._here(collection)))

    def reindex(
        self, collection: CollectionInfo, *, progress: Callable[[IndexProgress], object] | None = None
    ) -> CollectionInfo:
        """See `IndexedBackend.reindex`."""
        return self._handed(self._indexed.reindex(self._here(collection), progress=progress))

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
        return self._indexed.search_tuned(
            self._here(collection),
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
        return self._indexed.explain(self._here(collection), query, k, where=where, exact=exact, effort=effort)

    @property
    def _indexed(self) -> IndexedBackend:
        return cast(IndexedBackend, self._ready())


class _Replaces(Mirroring):
    """`ReplacingBackend`."""

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `ReplacingBackend.replace_collection`; the secondary drops both, and is given the new one again."""
        with self._noting() as noted:
            old, new = self._here(old), self._here(new)
            noted += self._journal.append(
                [
                    Entry(old.name, mark_of(old), "drop"),
                    Entry(new.name, mark_of(new), "drop"),
                ]
            )
            info = cast(ReplacingBackend, self.primary).replace_collection(old, new)
            noted += self._journal.append([Entry(info.name, mark_of(info), "ids")])
            return self._handed(info)


@cache
def fitting(base: type, texts: bool, indexed: bool, replacing: bool) -> type:
    """The class of a mirror that has these, and of the others nothing: `isinstance` says what a store can do."""
    parts = [part for part, wanted in ((_Texts, texts), (_Indexes, indexed), (_Replaces, replacing)) if wanted]
    return type(base.__name__, (base, *parts), {"__module__": base.__module__, "__doc__": base.__doc__})
