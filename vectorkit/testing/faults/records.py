"""Stores that do not give back what they were given (section 2 of the contract)."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vectorkit._narrow import is_dict, is_list
from vectorkit.backend.requests import Read, Scan
from vectorkit.errors import BackendError, InvalidVectorError
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.types import Batch, CollectionInfo, Record

__all__ = [
    "BoolsBecomeIntegers",
    "CountsIdsInBytes",
    "CutsDocuments",
    "CutsIds",
    "DropsEmptyLists",
    "DropsNulls",
    "EmptyDocumentsBecomeNone",
    "FoldsIds",
    "HandsOutItsOwnObjects",
    "IntegersBecomeFloats",
    "LargeFloatsBecomeIntegers",
    "MissingDocumentsBecomeEmpty",
    "NestedObjectsBecomeText",
    "NoMetadataIsNone",
    "NormalisesIds",
    "NormalisesInPlace",
    "RefusesZeroVectors",
    "RoundsFloats",
    "RoundsLargeIntegers",
    "ScansShareNestedValues",
    "SharesNestedValues",
    "TrimsIds",
    "TruncatesVectors",
    "WholeFloatsBecomeIntegers",
]


class FoldsIds(FaultyBackend):
    """2.1 `"A"` and `"a"` are one id, as under a collation that ignores case."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, ids=[id.casefold() for id in batch.ids])


class NormalisesIds(FaultyBackend):
    """2.1 Ids are brought into a normal form of Unicode, as file names are on some systems."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, ids=[unicodedata.normalize("NFC", id) for id in batch.ids])


class TrimsIds(FaultyBackend):
    """2.1 A blank at the end of an id is lost, as in `CHAR` columns."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, ids=[id.rstrip(" ") or id for id in batch.ids])


class CountsIdsInBytes(FaultyBackend):
    """2.1 Refuses ids of more than 512 bytes, as indexes with a bound on their keys do."""

    def _bent_batch(self, batch: Batch) -> Batch:
        if any(len(id.encode()) > 512 for id in batch.ids):
            raise BackendError("an id is at most 512 bytes long")
        return batch


class CutsIds(FaultyBackend):
    """2.1 Looks ids up by their first 255 characters, as an index on a prefix does."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, ids=[id[:255] for id in batch.ids])

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        return super().get(collection, replace(request, ids=request.ids and [*{id[:255]: None for id in request.ids}]))


class TruncatesVectors(FaultyBackend):
    """2.3 Keeps half of each number's bits, as stores do that quantise to float16."""

    def _bent_batch(self, batch: Batch) -> Batch:
        with np.errstate(over="ignore"):
            return replace(batch, embeddings=batch.embeddings.astype(np.float16).astype(np.float32))


class RefusesZeroVectors(FaultyBackend):
    """2.3 Refuses a zero vector under every metric, as Pinecone does."""

    def _bent_batch(self, batch: Batch) -> Batch:
        if not batch.embeddings.any(axis=1).all():
            raise InvalidVectorError("a vector holds at least one number that is not zero")
        return batch


class EmptyDocumentsBecomeNone(FaultyBackend):
    """2.4 Takes `""` for no document, as Oracle does, and clients that ask `if document`."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, documents=[document or None for document in batch.documents])


class MissingDocumentsBecomeEmpty(FaultyBackend):
    """2.4 Stores `""` where there is no document, as LangChain does, whose documents always have a text."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, documents=[document or "" for document in batch.documents])


class CutsDocuments(FaultyBackend):
    """2.4 Keeps the first 65,535 characters, the longest text of Milvus."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, documents=[document and document[:65_535] for document in batch.documents])


class NoMetadataIsNone(FaultyBackend):
    """2.5 Returns None where there is no metadata, as Chroma does."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        none: Any = None
        return [replace(record, metadata=record.metadata or none) for record in super().get(collection, request)]


class _FaultyMetadata(FaultyBackend):
    """Changes values on their way in, those inside lists and objects too."""

    def _bent_batch(self, batch: Batch) -> Batch:
        return replace(batch, metadatas=[self._bent_object(metadata) for metadata in batch.metadatas])

    def _bent_object(self, value: dict[Any, Any]) -> dict[Any, Any]:
        return {key: self._bent(item) for key, item in value.items()}

    def _bent(self, value: Any) -> Any:
        if is_dict(value):
            return self._bent_object(value)
        return [self._bent(item) for item in value] if is_list(value) else self._bent_scalar(value)

    def _bent_scalar(self, value: Any) -> Any:
        return value


class WholeFloatsBecomeIntegers(_FaultyMetadata):
    """2.5 1.0 comes back as 1, as from JavaScript."""

    def _bent_scalar(self, value: Any) -> Any:
        return int(value) if isinstance(value, float) and value.is_integer() else value


class LargeFloatsBecomeIntegers(_FaultyMetadata):
    """2.5 1e16 comes back as an integer, as from `jsonb`, which writes it without an exponent or a fraction."""

    def _bent_scalar(self, value: Any) -> Any:
        return int(value) if isinstance(value, float) and abs(value) >= 1e16 else value


class IntegersBecomeFloats(_FaultyMetadata):
    """2.5 1 comes back as 1.0, as from Pinecone, where all numbers are doubles."""

    def _bent_scalar(self, value: Any) -> Any:
        return float(value) if type(value) is int else value


class RoundsLargeIntegers(_FaultyMetadata):
    """2.5 `2**53 + 1` comes back as `2**53`, as from stores that keep numbers as doubles."""

    def _bent_scalar(self, value: Any) -> Any:
        return min(int(float(value)), 2**63 - 1) if type(value) is int else value


class RoundsFloats(_FaultyMetadata):
    """2.5 A float comes back off in its last bits, as a quarter of them do from Chroma."""

    def _bent_scalar(self, value: Any) -> Any:
        return float(f"{value:.15g}") if isinstance(value, float) else value


class BoolsBecomeIntegers(_FaultyMetadata):
    """2.5 True comes back as 1, as from SQLite."""

    def _bent_scalar(self, value: Any) -> Any:
        return int(value) if isinstance(value, bool) else value


class DropsNulls(_FaultyMetadata):
    """2.5 A key whose value is None is lost, as in Chroma."""

    def _bent_object(self, value: dict[Any, Any]) -> dict[Any, Any]:
        return super()._bent_object({key: item for key, item in value.items() if item is not None})


class DropsEmptyLists(_FaultyMetadata):
    """2.5 A key whose value is an empty list is lost, as where each element is a row."""

    def _bent_object(self, value: dict[Any, Any]) -> dict[Any, Any]:
        return super()._bent_object({key: item for key, item in value.items() if item != []})


class NestedObjectsBecomeText(_FaultyMetadata):
    """2.5 An object inside metadata comes back as its JSON, as from clients of stores that hold scalars alone."""

    def _bent(self, value: Any) -> Any:
        return json.dumps(value) if isinstance(value, dict) else super()._bent(value)


class NormalisesInPlace(FaultyBackend):
    """2.7 Scales the caller's own array to norm 1, as `v /= norm` does in many an example."""

    def _bent_batch(self, batch: Batch) -> Batch:
        written = replace(batch, embeddings=batch.embeddings.copy())
        norms = np.linalg.norm(batch.embeddings, axis=1, keepdims=True)
        np.divide(batch.embeddings, norms, out=batch.embeddings, where=norms > 0)
        return written


class HandsOutItsOwnObjects(FaultyBackend):
    """2.7 A change to a dict that was returned changes the record, as in stores that are a Python dict."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        rows = self._rows(collection)
        found = super().get(collection, request)
        return [replace(record, metadata=rows[record.id].metadata) for record in found]


class SharesNestedValues(FaultyBackend):
    """2.7 A change to a list inside metadata that was returned changes the record, as after a shallow copy."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        rows = self._rows(collection)
        found = super().get(collection, request)
        return [replace(record, metadata={**rows[record.id].metadata}) for record in found]


class ScansShareNestedValues(FaultyBackend):
    """2.7 The same of the records of a scan alone."""

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        rows = self._rows(collection)
        for page in super().scan(collection, request):
            yield [replace(record, metadata={**rows[record.id].metadata}) for record in page]
