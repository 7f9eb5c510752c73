"""Every exception of psycopg becomes one of the library's."""

import inspect
from collections.abc import Iterator

import psycopg
import psycopg_pool
import pytest
from psycopg import errors

from vectorkit import (
    BackendError,
    BackendPermissionError,
    BackendTimeoutError,
    BackendUnavailableError,
    CollectionInfo,
    CollectionNotFoundError,
    CollectionSpec,
)
from vectorkit_pgvector._errors import is_lost, kind_of, translate, translated

COLLECTION = CollectionInfo(CollectionSpec("docs", "cosine", 3), generation="1")


def public_exceptions() -> Iterator[type[psycopg.Error]]:
    for module in (psycopg, errors, psycopg_pool):
        for name, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, psycopg.Error) and not name.startswith("_"):
                yield found


@pytest.mark.parametrize("kind", list(dict.fromkeys(public_exceptions())))
def test_every_public_exception_of_psycopg_is_mapped(kind: type[psycopg.Error]) -> None:
    """8.2 A class that psycopg adds with a new kind of SQLSTATE fails here until it is mapped."""
    assert kind_of(kind("what happened")) is not None
    assert isinstance(translate(kind("what happened")), BackendError)
    assert "what happened" in str(translate(kind("what happened")))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.QueryCanceled, BackendTimeoutError),
        (errors.LockNotAvailable, BackendTimeoutError),
        (errors.TransactionTimeout, BackendTimeoutError),
        (psycopg_pool.PoolTimeout, BackendTimeoutError),
        (errors.InsufficientPrivilege, BackendPermissionError),
        (errors.InvalidPassword, BackendPermissionError),
        (errors.ReadOnlySqlTransaction, BackendPermissionError),
        (errors.AdminShutdown, BackendUnavailableError),
        (errors.CannotConnectNow, BackendUnavailableError),
        (errors.TooManyConnections, BackendUnavailableError),
        (errors.ConnectionFailure, BackendUnavailableError),
        (errors.ConnectionTimeout, BackendUnavailableError),
        (psycopg.OperationalError, BackendUnavailableError),
        (errors.DiskFull, BackendError),
        (errors.UndefinedTable, BackendError),
    ],
)
def test_kinds_of_failure_are_told_apart(error: type[psycopg.Error], expected: type[BackendError]) -> None:
    """8.1 What can be waited for, what must be granted, and what must be reached are different classes."""
    assert type(translate(error("…"))) is expected


def test_a_missing_table_of_a_collection_is_a_missing_collection() -> None:
    """1.6 With any other statement it is an error of the backend."""
    assert type(translate(errors.UndefinedTable("…"), COLLECTION)) is CollectionNotFoundError
    assert type(translate(errors.InvalidSchemaName("…"), COLLECTION)) is CollectionNotFoundError
    assert type(translate(errors.UndefinedColumn("…"), COLLECTION)) is BackendError


def test_messages_say_what_to_do() -> None:
    """8.3 A full disk, a read-only server, a conflict: each has its advice, and the SQLSTATE to look up."""
    assert "free space" in str(translate(errors.DiskFull("…")))
    assert "primary" in str(translate(errors.ReadOnlySqlTransaction("…")))
    assert "again" in str(translate(errors.DeadlockDetected("…")))
    assert "40P01" in str(translate(errors.DeadlockDetected("…")))


def test_what_the_input_raised_passes_through() -> None:
    """8.2 An exception of psycopg that the caller's own generator raised is the caller's."""
    theirs = errors.DivisionByZero("…")
    with pytest.raises(errors.DivisionByZero), translated(COLLECTION, passing=[theirs]):
        raise theirs
    with pytest.raises(BackendError), translated(COLLECTION, passing=[theirs]):
        raise errors.DivisionByZero("…")


def test_only_lost_connections_are_worth_another() -> None:
    assert is_lost(psycopg.OperationalError("the connection is lost"))
    assert is_lost(errors.AdminShutdown("…"))
    assert not is_lost(errors.QueryCanceled("…"))
    assert not is_lost(errors.DiskFull("…"))
    assert not is_lost(psycopg_pool.PoolTimeout("…"))
    assert not is_lost(errors.UniqueViolation("…"))
