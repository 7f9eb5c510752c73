"""Whatever Chroma raises leaves as one of our errors (rule 8.2)."""

import inspect

import chromadb.errors
import httpx
import pytest

import vectorkit as vk
from vectorkit_chroma._errors import mapped, translate

PUBLIC = [
    kind
    for _, kind in inspect.getmembers(chromadb.errors, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == "chromadb.errors" and not inspect.isabstract(kind)
]


@pytest.mark.parametrize("kind", PUBLIC, ids=[kind.__name__ for kind in PUBLIC])
def test_every_public_exception_of_chromadb_is_mapped(kind: type[Exception]) -> None:
    """8.2 Each becomes a typed error with the original as its cause."""
    with pytest.raises(vk.VectorKitError) as caught, mapped("reading", "collection 'docs'"):
        raise kind("what the client says")
    assert isinstance(caught.value.__cause__, kind)
    assert "reading collection 'docs'" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (chromadb.errors.NotFoundError("Collection [x] does not exist"), vk.CollectionNotFoundError),
        (chromadb.errors.InternalError("Collection [x] already exists"), vk.CollectionExistsError),
        (chromadb.errors.InternalError("Error: Missing metadata segment"), vk.CollectionNotFoundError),
        (ValueError("Could not connect to a Chroma server. Are you sure it is running?"), vk.BackendUnavailableError),
        (httpx.ConnectError("refused"), vk.BackendUnavailableError),
        (httpx.ReadTimeout("too late"), vk.BackendTimeoutError),
        (PermissionError("no"), vk.BackendPermissionError),
        (RuntimeError("whatever"), vk.BackendError),
    ],
)
def test_conditions_are_told_apart(error: Exception, expected: type[vk.VectorKitError]) -> None:
    """8.1 The class says what is the matter."""
    assert type(translate(error, "doing it")) is expected


def test_a_panic_in_rust_is_an_ordinary_error() -> None:
    """8.2 pyo3's PanicException is a BaseException, which no caller expects."""

    class PanicException(BaseException):
        pass

    with pytest.raises(vk.BackendError, match="panicked"), mapped("reading", "x"):
        raise PanicException("boom")
    with pytest.raises(KeyboardInterrupt), mapped("reading", "x"):
        raise KeyboardInterrupt
