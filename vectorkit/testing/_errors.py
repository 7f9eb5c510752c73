"""Section 8 of the contract: one tree of errors, for everything, with messages that help and tell no secrets."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import vectorkit
from vectorkit.collection import Collection
from vectorkit.errors import (
    BackendError,
    CollectionExistsError,
    CollectionNotFoundError,
    DimensionMismatchError,
    DuplicateIdError,
    InvalidArgumentError,
    InvalidFilterError,
    InvalidIdError,
    InvalidVectorError,
    RecordNotFoundError,
    VectorKitError,
)
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, contents
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._preflight import protocol_problems

__all__ = ["ErrorRules"]

# fmt: off
_BUILTINS = {
    "InvalidArgumentError": ValueError, "InvalidFilterError": ValueError, "InvalidVectorError": ValueError,
    "DimensionMismatchError": ValueError, "InvalidMetadataError": ValueError, "InvalidIdError": ValueError,
    "InvalidNameError": ValueError, "CollectionNotFoundError": LookupError, "CollectionExistsError": Exception,
    "CollectionMismatchError": Exception, "DuplicateIdError": Exception, "RecordNotFoundError": LookupError,
    "PartialWriteError": Exception, "EmbeddingError": Exception, "RerankingError": Exception,
    "UnsupportedError": NotImplementedError, "MissingDependencyError": ImportError, "BackendError": Exception,
    "BackendUnavailableError": ConnectionError, "BackendTimeoutError": TimeoutError,
    "BackendPermissionError": PermissionError,
}
# fmt: on


class ErrorRules(Fixtures):
    """Rules 8.1 to 8.3, and that the backend is one."""

    def test_the_backend_has_every_method_with_its_arguments(self, store: VectorStore) -> None:
        """8.2 Names, kinds and defaults are the protocol's: no call fails with a `TypeError`."""
        assert protocol_problems(store.backend) == []

    def test_errors_have_one_root_and_a_builtin_beside_it(self) -> None:
        """8.1 Each class of the contract exists, is public, and is a `VectorKitError`."""
        for name, builtin in _BUILTINS.items():
            error = getattr(vectorkit, name)
            assert issubclass(error, VectorKitError)
            assert issubclass(error, builtin)
        backend_errors = [name for name in _BUILTINS if name.startswith("Backend")]
        assert all(issubclass(getattr(vectorkit, name), BackendError) for name in backend_errors)
        assert issubclass(DimensionMismatchError, InvalidVectorError)

    def test_what_goes_wrong_raises_the_class_for_it(self, store: VectorStore, plane: Collection) -> None:
        """8.1 Also caught as the builtin beside it."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        assert_refused(CollectionExistsError, store.create_collection, "plane", dimension=2)
        assert_refused(CollectionNotFoundError, store.get_collection, "other")
        assert_refused(DuplicateIdError, plane.add, ids=["a"], embeddings=[[1, 2]])
        assert_refused(RecordNotFoundError, plane.update, ids=["b"], embeddings=[[1, 2]])
        for builtin, call in (
            (LookupError, lambda: store.drop_collection("other")),
            (LookupError, lambda: plane.update(ids=["b"], metadatas=[{}])),
            (ValueError, lambda: plane.get(where={"$bad": 1})),
            (ValueError, lambda: plane.add(ids=[""], embeddings=[[1, 2]])),
            (ValueError, lambda: plane.search([1, 2, 3])),
            (NotImplementedError, lambda: plane.search("text", mode="text")),
        ):
            with pytest.raises(builtin) as caught:
                call()
            assert isinstance(caught.value, VectorKitError)

    def test_a_wrong_type_is_an_invalid_argument(self, store: VectorStore, plane: Collection) -> None:
        """8.2 Whatever is passed for whatever argument, no `TypeError` escapes, and nothing is written."""
        plane.add(ids=["a"], embeddings=[[1, 2]], documents=["x"], metadatas=[{"v": 1}])
        before = contents(plane)
        good: dict[str, Any] = {"ids": ["b"], "embeddings": [[1, 2]], "documents": ["x"], "metadatas": [{}]}
        junk: list[Any] = [
            *(5, 1.5, "text", b"bytes", {"a": 1}, {1}, [5], [[]], [{1}], True, object(), np.array(1.0), ["a", 5]),
        ]
        refused = partial(assert_refused, InvalidArgumentError)
        for value in junk:
            for name in good:
                refused(plane.add, **{**good, name: value})
                refused(plane.upsert, **{**good, name: value})
            refused(plane.add, records=value)
            refused(plane.update, records=value)
            refused(plane.update, ids=value, metadatas=[{}, {}, {}])
            refused(plane.get, value)
            refused(plane.delete, value)
            refused(store.create_collection, "docs", embedder=value)
            refused(store.create_collection, "docs", dimension=2, index=value)
            refused(plane.create_index, value)
            if not isinstance(value, bool):
                refused(store.create_collection, "docs", dimension=2, text_index=value)
                refused(plane.update, ids=["a"], metadatas=[{}], merge=value)
                refused(plane.search, [1, 2], exact=value)
                refused(plane.get, include_embeddings=value)
            if not isinstance(value, str):
                refused(store.create_collection, "docs", dimension=2, language=value)
                refused(store.create_collection, value, dimension=2)
                refused(plane.search, value)
                refused(plane.search_many, [[1, 2], [1, 2], value])
                refused(plane.search, [1, 2], mode=value)
            if not isinstance(value, dict):
                refused(plane.get, where=value)
                refused(plane.count, where_document=value)
        assert contents(plane) == before
        assert store.list_collections() == [plane.info()]

    def test_a_closed_store_says_so(self, store: VectorStore, plane: Collection) -> None:
        """8.2 Closing twice is fine; everything else raises `BackendError`, not what the client raises."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        store.close()
        store.close()
        assert_refused(BackendError, store.create_collection, "docs", dimension=2)
        assert_refused(BackendError, store.get_collection, "plane")
        assert_refused(BackendError, store.list_collections)
        assert_refused(BackendError, store.drop_collection, "plane", missing_ok=True)
        assert_refused(BackendError, plane.add, ids=["b"], embeddings=[[1, 2]])
        assert_refused(BackendError, plane.upsert, ids=["b"], embeddings=[[1, 2]])
        assert_refused(BackendError, plane.update, ids=["a"], metadatas=[{"v": 1}])
        assert_refused(BackendError, plane.get)
        assert_refused(BackendError, plane.get, ["a"])
        assert_refused(BackendError, lambda: list(plane.scan()))
        assert_refused(BackendError, plane.count, {"v": 1})
        assert_refused(BackendError, plane.delete, ["a"])
        assert_refused(BackendError, plane.search, [1, 2])

    def test_a_message_says_what_to_do_and_holds_no_vector(self, store: VectorStore) -> None:
        """8.3 What was wrong and what was expected, in a few lines, however much was given."""
        docs = store.create_collection("docs", dimension=2000)
        vector: list[Any] = [0.123456] * 2000
        docs.add(ids=["a"], embeddings=[vector])
        message = assert_refused(DimensionMismatchError, docs.add, ids=["b"], embeddings=[[*vector, 0.5]])
        assert "2,001" in message
        assert "2,000" in message
        messages = [
            message,
            assert_refused(InvalidVectorError, docs.add, ids=["b"], embeddings=[[*vector[:-1], np.nan]]),
            assert_refused(InvalidVectorError, docs.search, [*vector[:-1], "x"]),
            assert_refused(InvalidVectorError, docs.add, ids=["b"], embeddings=[vector, vector[0]][1:]),
            assert_refused(InvalidArgumentError, docs.add, ids=["b"], embeddings=[vector] * 50),
            assert_refused(DuplicateIdError, docs.add, ids=["a"], embeddings=[vector]),
            assert_refused(InvalidIdError, docs.get, ["x" * 100_000]),
            assert_refused(InvalidFilterError, docs.get, where={"v": {"$in": {"a": vector}}}),
            assert_refused(InvalidFilterError, docs.get, where={"v": vector}),
            assert_refused(InvalidFilterError, docs.get, where={"v": {"$contains": ["x" * 100_000]}}),
        ]
        for each in messages:
            assert each.count("0.123456") <= 20, each
            assert len(each) < 600, each
        for shown in (
            repr(docs),
            repr(store),
            repr(docs.get(include_embeddings=True)[0]),
            repr(docs.search(vector)[0]),
        ):
            assert "0.12345" not in shown
