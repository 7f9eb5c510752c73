"""The backend and the reference do the same: one generated workload, run on both, every answer compared."""

from typing import Any

import numpy as np
from hypothesis import given

from vectorkit.collection import Collection
from vectorkit.errors import VectorKitError
from vectorkit.memory import MemoryBackend
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_same_hits, assert_same_scores, typed
from vectorkit.testing._examples import examples
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing.strategies import DIMENSION, Call, Workload, workloads
from vectorkit.types import Record

__all__ = ["EquivalenceRules"]


class EquivalenceRules(Fixtures):
    """Where the contract is silent, what `MemoryBackend` does is the rule."""

    def test_any_workload_gives_what_the_reference_gives(self, store: VectorStore) -> None:
        """6.7, 7.5 Writes, deletes, filters, searches of every mode: the same ids, scores and errors, call by call."""

        @examples(20)
        @given(workloads())
        def runs_alike(workload: Workload) -> None:
            reference = VectorStore(MemoryBackend())
            text_index = store.backend.capabilities.text_search
            both = [
                each.create_collection(
                    "workload", dimension=DIMENSION, metric=workload.metric, text_index=text_index, language="none"
                )
                for each in (store, reference)
            ]
            try:
                for call in workload.calls:
                    _assert_alike(call, *both)
                assert _read(both[0]) == _read(both[1])
            finally:
                store.drop_collection("workload")

        runs_alike()


def _read(collection: Collection) -> list[object]:
    """Documents and metadata of all records, and their embeddings up to rounding."""
    return [
        (record.id, record.document, typed(record.metadata), np.asarray(record.embedding).round(4).tolist())
        for record in collection.get(include_embeddings=True)
    ]


def _assert_alike(call: Call, collection: Collection, reference: Collection) -> None:
    if call.method != "search":
        assert _outcome(call, collection) == _outcome(call, reference), call
        return
    given = call.arguments
    everything: dict[str, Any] = {**given, "k": 1000}
    if "mode" in given:
        if not collection.info().spec.text_index:
            assert _outcome(call, collection) == _outcome(call, reference) == "UnsupportedError"
            return
        assert_same_scores(collection.search(**given), reference.search(**everything), given["k"])
        return
    for exact in (None, True):
        assert_same_hits(
            collection.search(**given, exact=exact),
            reference.search(**everything, include_embeddings=True),
            given["k"],
            reference.info().metric,
            np.array(given["query"], dtype=np.float32),
        )


def _outcome(call: Call, collection: Collection) -> object:
    """What the call returned, with the types of metadata, or the class of the error it raised."""
    try:
        found = getattr(collection, call.method)(**call.arguments)
    except VectorKitError as error:
        return type(error).__name__
    if call.method == "get":
        records: list[Record] = found
        return [(record.id, record.document, typed(record.metadata)) for record in records]
    return found
