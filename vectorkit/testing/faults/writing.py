"""Stores that write something else than they are told to (section 3 of the contract)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from vectorkit.backend.requests import Read
from vectorkit.errors import DuplicateIdError
from vectorkit.filters import Filter
from vectorkit.testing.faults._backend import FaultyBackend, picked
from vectorkit.types import Batch, CollectionInfo, Metadata, Patch, Record

__all__ = [
    "AddIgnoresExisting",
    "AddReplaces",
    "AddWritesBeforeItRefuses",
    "CountsDeletesAsAsked",
    "DeletesByEither",
    "DeletesWithoutFilter",
    "FirstWriteWins",
    "ForgetsTheRestOnUpdate",
    "KeepsOldDocuments",
    "KeepsOldVectors",
    "MergeDropsNulls",
    "MergesOnUpdate",
    "MergesOnUpsert",
    "ReplacesOnMerge",
    "UpdateAdds",
    "UpdateChecksEachPart",
    "UpdateIgnoresMissing",
    "UpdateStopsHalfWay",
    "WritesAThousandAtMost",
    "WritesAsItReads",
]


class WritesAsItReads(FaultyBackend):
    """3.1 Commits each part of a stream: if the next one is bad, the first remains."""

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        for batch in batches:
            super().add(collection, [batch])

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        for batch in batches:
            super().upsert(collection, [batch])


class AddReplaces(FaultyBackend):
    """3.2 Adding an id that is stored replaces its record, as in Milvus, Pinecone and Qdrant."""

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        super().upsert(collection, batches)


class _FaultyAdd(FaultyBackend):
    """Writes the new ones of the records it is to add."""

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        for batch in batches:
            stored = {record.id for record in self.get(collection, Read(batch.ids))}
            super().add(collection, [picked(batch, [id not in stored for id in batch.ids])])
            self._told(stored)

    def _told(self, stored: set[str]) -> None:
        """What the caller hears of those that are stored."""


class AddIgnoresExisting(_FaultyAdd):
    """3.2 Adding an id that is stored does nothing, in silence, as in Chroma."""


class AddWritesBeforeItRefuses(_FaultyAdd):
    """3.2 Reports an id that is stored, but has written the others, as without a transaction."""

    def _told(self, stored: set[str]) -> None:
        if stored:
            raise DuplicateIdError(f"stored already: {', '.join(map(repr, sorted(stored)[:10]))}")


class _FaultyUpsert(FaultyBackend):
    """Keeps something of the record that it replaces."""

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        super().upsert(collection, [self._merged(collection, batch) for batch in batches])

    def _merged(self, collection: CollectionInfo, batch: Batch) -> Batch:
        stored = {record.id: record for record in self.get(collection, Read(batch.ids, include_embeddings=True))}
        rows = zip(batch.ids, batch.documents, batch.embeddings, batch.metadatas, strict=True)
        written = [self._kept(stored[row[0]], Record(*row)) if row[0] in stored else Record(*row) for row in rows]
        return Batch(
            batch.ids,
            [record.document for record in written],
            np.array([record.embedding for record in written], dtype=np.float32),
            [record.metadata for record in written],
        )

    def _kept(self, old: Record, new: Record) -> Record:
        return new


class MergesOnUpsert(_FaultyUpsert):
    """3.3 Keeps the metadata keys that an upsert does not give, as Chroma does."""

    def _kept(self, old: Record, new: Record) -> Record:
        return replace(new, metadata={**old.metadata, **new.metadata})


class KeepsOldDocuments(_FaultyUpsert):
    """3.3 Keeps the document that an upsert does not give, as Chroma does."""

    def _kept(self, old: Record, new: Record) -> Record:
        return replace(new, document=old.document if new.document is None else new.document)


class KeepsOldVectors(_FaultyUpsert):
    """3.3 Replaces everything but the vector, as where the index does not take an id again."""

    def _kept(self, old: Record, new: Record) -> Record:
        return replace(new, embedding=old.embedding)


class FirstWriteWins(_FaultyUpsert):
    """3.3 Leaves a record that is stored as it is, as `ON CONFLICT DO NOTHING` does."""

    def _kept(self, old: Record, new: Record) -> Record:
        return old


class _FaultyUpdate(FaultyBackend):
    """Changes the patches of an update."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        super().update(collection, [self._bent_patch(collection, patch) for patch in patches])

    def _bent_patch(self, collection: CollectionInfo, patch: Patch) -> Patch:
        return patch


class MergesOnUpdate(_FaultyUpdate):
    """3.4 Merges metadata where it should replace it, as Chroma does."""

    def _bent_patch(self, collection: CollectionInfo, patch: Patch) -> Patch:
        return replace(patch, merge=True)


class ReplacesOnMerge(_FaultyUpdate):
    """3.4 Replaces metadata where it should merge it, as stores do that know no merge."""

    def _bent_patch(self, collection: CollectionInfo, patch: Patch) -> Patch:
        return replace(patch, merge=False)


class MergeDropsNulls(_FaultyUpdate):
    """3.4 None in a merge takes its key away, as in Chroma, and in JSON merge patches (RFC 7396)."""

    def _bent_patch(self, collection: CollectionInfo, patch: Patch) -> Patch:
        if not patch.merge or patch.metadatas is None:
            return patch
        stored = {record.id: record.metadata for record in self.get(collection, Read(patch.ids))}
        merged = [{**stored[id], **new} for id, new in zip(patch.ids, patch.metadatas, strict=True)]
        dropped: list[Metadata] = [{key: value for key, value in each.items() if value is not None} for each in merged]
        return replace(patch, metadatas=dropped, merge=False)


class ForgetsTheRestOnUpdate(_FaultyUpdate):
    """3.4 Columns that are not given are emptied, as where an update puts the whole record anew."""

    def _bent_patch(self, collection: CollectionInfo, patch: Patch) -> Patch:
        count = len(patch)
        return replace(patch, documents=patch.documents or [None] * count, metadatas=patch.metadatas or [{}] * count)


class UpdateIgnoresMissing(_FaultyUpdate):
    """3.4 Updating an id that is not stored does nothing, in silence, as in Chroma and SQL."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        super().update(collection, [self._bent_patch(collection, patch) for patch in patches])

    def _bent_patch(self, collection: CollectionInfo, patch: Patch) -> Patch:
        stored = {record.id for record in self.get(collection, Read(patch.ids))}
        rows = [at for at, id in enumerate(patch.ids) if id in stored]
        return replace(
            patch,
            ids=[patch.ids[row] for row in rows],
            documents=patch.documents and [patch.documents[row] for row in rows],
            embeddings=None if patch.embeddings is None else patch.embeddings[rows],
            metadatas=patch.metadatas and [patch.metadatas[row] for row in rows],
        )


class UpdateStopsHalfWay(UpdateIgnoresMissing):
    """3.4 Reports an id that is not stored, but has changed the others, as without a transaction."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        super().update(collection, patches)
        FaultyBackend.update(self, collection, [Patch(patch.ids, None, None, None) for patch in patches])


class UpdateChecksEachPart(FaultyBackend):
    """3.4 Looks for the ids of each part of an update just before it writes that part; the parts before it stay."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        for patch in patches:
            super().update(collection, [patch])


class UpdateAdds(FaultyBackend):
    """3.4 Updating an id that is not stored adds it, as where an update is an upsert."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        for patch in patches:
            stored = {record.id for record in self.get(collection, Read(patch.ids))}
            new = [id for id in patch.ids if id not in stored]
            blank = np.ones((len(new), collection.dimension), dtype=np.float32)
            super().add(collection, [Batch(new, [None] * len(new), blank, [{} for _ in new])])
        super().update(collection, patches)


class DeletesWithoutFilter(FaultyBackend):
    """3.5 Deletes every record with one of the ids, or all of them: the filter is lost."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        return super().delete(collection, ids=ids)


class DeletesByEither(FaultyBackend):
    """3.5 Deletes the records with one of the ids, and those that match, where both should hold."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        deleted = 0 if ids is None else super().delete(collection, ids=ids)
        return deleted if where is None else deleted + super().delete(collection, where=where)


class CountsDeletesAsAsked(FaultyBackend):
    """3.5 Counts the ids it was given, missing ones among them, as Chroma does."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        deleted = super().delete(collection, ids=ids, where=where)
        return deleted if ids is None else len(ids)


class WritesAThousandAtMost(FaultyBackend):
    """3.7 Loses what one call gives beyond a batch of the client's."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return picked(batch, [at < 1000 for at in range(len(batch))])
