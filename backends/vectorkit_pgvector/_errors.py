"""psycopg's exceptions become the library's: the one place where they are mapped (rule 8.2)."""

import re
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    BackendTimeoutError,
    BackendUnavailableError,
    CollectionNotFoundError,
    VectorKitError,
)
from vectorkit.types import CollectionInfo

__all__ = ["Unanswered", "ended_connection", "is_lost", "kind_of", "translate", "translate_refusal", "translated"]


class Unanswered(psycopg.OperationalError):
    """The server gave no sign for the time that a store waits; see `PgVectorBackend`, `timeout`."""


# SQLSTATEs, and the classes of those that are not named (their first two characters):
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE: Final[dict[str, type[BackendError]]] = {
    **dict.fromkeys(
        re.findall("..", "0203090A0B0F0Z1020212223242526272B2D2F3438393B3D3F4042445354555872F0HVP0XX"), BackendError
    ),
    "08": BackendUnavailableError,  # connection exception
    "0L": BackendPermissionError,  # invalid grantor
    "0P": BackendPermissionError,  # invalid role
    "25006": BackendPermissionError,  # read-only transaction
    "25P03": BackendTimeoutError,  # idle_in_transaction_session_timeout
    "25P04": BackendTimeoutError,  # transaction_timeout
    "28": BackendPermissionError,  # invalid authorization
    "2F002": BackendPermissionError,  # modifying data not permitted, and so on
    "2F003": BackendPermissionError,
    "2F004": BackendPermissionError,
    "38002": BackendPermissionError,
    "38003": BackendPermissionError,
    "38004": BackendPermissionError,
    "42501": BackendPermissionError,  # insufficient privilege
    "53300": BackendUnavailableError,  # too many connections
    "55P03": BackendTimeoutError,  # lock_timeout
    "57": BackendUnavailableError,  # shutdown, crash, not yet started
    "57014": BackendTimeoutError,  # statement_timeout
}

# What the client itself raises, without an SQLSTATE; the first that fits.
_BY_TYPE: Final[dict[type[psycopg.Error], type[BackendError]]] = {
    Unanswered: BackendTimeoutError,
    PoolTimeout: BackendTimeoutError,
    TooManyRequests: BackendTimeoutError,
    PoolClosed: BackendError,
    errors.CancellationTimeout: BackendTimeoutError,
    errors.PipelineAborted: BackendError,
    psycopg.OperationalError: BackendUnavailableError,
    psycopg.Error: BackendError,
}

_ADVICE: Final[dict[str, str]] = {
    "25006": "this session may only read: connect to the primary server, or end the read-only transaction",
    "25P03": "the input was too slow for the server: make it faster, or raise idle_in_transaction_session_timeout",
    "25P04": "the transaction took too long: write less in one call, or raise transaction_timeout",
    "25P02": "an earlier statement of this transaction failed: roll it back, then call again",
    "28": "check the user and the password",
    "40": "another transaction was in the way: run the transaction again",
    "42501": "have the owner grant this user what it lacks",
    "53100": "the server's disk is full: free space there; the call wrote nothing",
    "53300": "close connections, or raise max_connections on the server",
    "55P03": "another transaction holds the lock: wait for it, or raise lock_timeout",
    "57": "the server is stopping or starting, or ended this connection: call again when it is up",
    "57014": "the statement was cancelled: raise statement_timeout if it needs longer",
}

_DENIED: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|permission denied"
    r'|role ".*" does not exist|is not permitted to log in'
)
_ASKED: Final = re.compile(r"\s*Is the server running[^?]*\?")
"""libpq's own question, which ours repeats."""
_WRONG_OPTION: Final = re.compile(
    r"invalid [\w ]+ value: |not supported when SSL|root certificate file .* does not exist"
)
_NO_SSL: Final = re.compile(r"server does not support SSL")
_NO_DATABASE: Final = re.compile(r'database ".*" does not exist')


def kind_of(error: psycopg.Error) -> type[BackendError] | None:
    """The class that an error of psycopg becomes, or None if nothing is known of its kind."""
    if error.sqlstate is not None:
        return _BY_STATE.get(error.sqlstate) or _BY_STATE.get(error.sqlstate[:2])
    return next(kind for known, kind in _BY_TYPE.items() if isinstance(error, known))


def is_lost(error: psycopg.Error) -> bool:
    """Whether the error says that the connection is gone, so that another one may serve."""
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests | Unanswered) or not isinstance(
        error, psycopg.OperationalError
    ):
        return False
    return error.sqlstate is None or error.sqlstate.startswith("08") or error.sqlstate in {"57P01", "57P02", "57P05"}


def ended_connection(error: BaseException) -> bool:
    """Whether the error is what ended the connection: that it is lost, or why the server has ended it."""
    if not isinstance(error, psycopg.Error):
        return False
    return isinstance(error, Unanswered) or is_lost(error) or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}


def translate(error: psycopg.Error, collection: CollectionInfo | None = None) -> VectorKitError:
    """The library's error for one of psycopg.

    Args:
        error: What psycopg raised.
        collection: The collection it was raised for, if it was for one.
    """
    state = error.sqlstate
    if collection is not None and state in {"42P01", "3F000"}:  # the table, or the schema with it, is gone
        return CollectionNotFoundError(
            f"collection {collection.name!r} was dropped since it was opened; open or create it again"
        )
    kind = kind_of(error) or BackendError
    # The primary message alone: the detail may hold whole rows.
    message = f"PostgreSQL: {error.diag.message_primary or _first_line(error)}"
    if state is not None:
        advice = _ADVICE.get(state) or _ADVICE.get(state[:2])
        message += f" (SQLSTATE {state})" + (f"; {advice}" if advice else "")
    elif isinstance(error, Unanswered):
        message += "; the connection was ended: call again, or raise timeout if the server needs longer"
    elif isinstance(error, PoolTimeout):
        message += "; all connections of the pool are in use, or the server cannot be reached"
    elif kind is BackendUnavailableError:
        message += "; is the server running, and reachable from here?"
    return kind(message)


class translated:
    """Turn errors of psycopg into the library's; a class, as a generator costs every search more.

    Args:
        collection: The collection that is worked on, if any: its missing table is `CollectionNotFoundError`.
        passing: Exceptions that the caller's own input raised; they pass through, psycopg's among them.
    """

    __slots__ = ("_collection", "_passing")

    def __init__(self, collection: CollectionInfo | None = None, *, passing: Sequence[BaseException] = ()) -> None:
        self._collection = collection
        self._passing = passing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error) and not any(error is raised for raised in self._passing):
            raise translate(error, self._collection) from error


def translate_refusal(error: psycopg.Error, target: str) -> BackendError:
    """The library's error for a connection that could not be opened.

    Args:
        error: What psycopg raised. Such an error has no SQLSTATE, so kinds are told apart by libpq's text, which
            names host and user but no password.
        target: Where to, for the message.
    """
    text = _ASKED.sub("", " ".join(str(error).split()))
    if _WRONG_OPTION.search(text):
        return BackendError(f"PostgreSQL at {target}: {text}; correct that option of the URL")
    if _NO_SSL.search(text):
        return BackendError(
            f"PostgreSQL at {target}: {text}; turn SSL on there (ssl = on), or connect with sslmode=prefer or disable"
        )
    if (error.pgconn is not None and error.pgconn.needs_password) or _DENIED.search(text):
        return BackendPermissionError(f"PostgreSQL at {target} refuses the login: {text}; check the user and password")
    if _NO_DATABASE.search(text):
        return BackendError(f"PostgreSQL at {target}: {text}; create the database first, or name another one")
    return BackendUnavailableError(
        f"PostgreSQL at {target} cannot be reached: {text}; is the server running, and reachable from here?"
    )


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
