"""Opening a connection: in memory, a folder, a server, or the caller's own client; by URL too."""

import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import httpx
from chromadb.api import ClientAPI
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT

from vectorkit._narrow import is_mapping
from vectorkit.errors import InvalidArgumentError
from vectorkit.urls import HIDDEN, shown_scheme
from vectorkit.validation import short
from vectorkit_chroma._errors import mapped
from vectorkit_chroma.connections.client import Client, Connection, Server
from vectorkit_chroma.connections.folders import open_folder
from vectorkit_chroma.connections.systems import RUST, server_of, started, stop, sync_threshold_of
from vectorkit_chroma.graphs.database import FILE

__all__ = ["connect", "folder_of", "use_client"]

_PORT: Final = 8000
"""Where `chroma run` listens."""

_CONNECT_SECONDS: Final = 10.0
"""The most to wait for a server when connecting: it has nothing to do for that."""

_TIMEOUT: Final = 60.0
"""Seconds of silence, by default: a full request of records to add is answered in some 10 on a slow machine."""

_HTTP_BODY: Final = 24_000_000
"""Bytes of a request that are aimed at; a Chroma server refuses bodies above 40 MB ("Payload too large")."""


def connect(
    url: str, tenant: str, database: str, headers: Mapping[str, str] | None, timeout: float | None
) -> Connection:
    """Open what a URL names.

    Raises:
        InvalidArgumentError: It is malformed, or the arguments do not go together.
        BackendUnavailableError: No server is there, or another process has the folder open.
        BackendTimeoutError: The server does not answer.
        BackendPermissionError: The folder cannot be written, or the server refuses access.
        BackendError: Chroma cannot open it.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"url must be a str such as 'chroma:./kb', got {type(url).__name__}")
    for what, name in (("tenant", tenant), ("database", database)):
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"{what} must be a str, got {short(name)} ({type(name).__name__})")
    scheme, _, rest = url.partition(":")
    if scheme in ("chroma+http", "chroma+https"):
        return _connect_http(url, tenant, database, headers, timeout)
    if scheme != "chroma":
        raise InvalidArgumentError(
            f"a URL of Chroma begins with chroma:, chroma+http: or chroma+https:, not {shown_scheme(url) or 'so'}"
        )
    if headers is not None:
        raise InvalidArgumentError("headers are sent to a server: they go with chroma+http:// or chroma+https://")
    if timeout is not None:
        raise InvalidArgumentError("a timeout is for a server: it goes with chroma+http:// or chroma+https://")
    if rest:
        return open_folder(rest, tenant, database)
    if (tenant, database) != (DEFAULT_TENANT, DEFAULT_DATABASE):
        raise InvalidArgumentError("a store in memory is new and your own: it has no other tenants and databases")
    return _open_memory()


def folder_of(url: str) -> Path | None:
    """The folder that a URL names; None if it names something else, or nothing is there."""
    scheme, _, rest = url.partition(":")
    path = Path(rest)
    return path.resolve() if scheme == "chroma" and rest and (path / FILE).exists() else None


def _connect_http(
    url: str, tenant: str, database: str, headers: Mapping[str, str] | None, timeout: float | None
) -> Connection:
    expected = "chroma+http://HOST[:PORT] or chroma+https://HOST[:PORT], and ?timeout=SECONDS if need be"
    parts = urlsplit("")
    host, port = None, None
    with suppress(ValueError):  # whose text quotes what stands where the port should, which may be of a password
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    if parts.username is not None or parts.password is not None:
        raise InvalidArgumentError(f"no user or password in the URL: pass them as headers=; expected {expected}")
    if not host or parts.path not in ("", "/") or parts.fragment:
        raise InvalidArgumentError(f"malformed URL: expected {expected}, with nothing after it")
    if parts.query:
        name, _, seconds = parts.query.partition("=")
        if name != "timeout":
            raise InvalidArgumentError(f"the only option in this URL is timeout; expected {expected}")
        if timeout is not None:
            raise InvalidArgumentError("give timeout= or ?timeout=… in the URL, not both")
        timeout = _number(seconds)
    given: object = {} if headers is None else headers
    if not is_mapping(given) or not all(_is_header(text) for pair in given.items() for text in pair):
        raise InvalidArgumentError("headers must be a dict of str to str, of printable ASCII characters")
    ssl = parts.scheme == "chroma+https"
    return _open_http(
        f"[{host}]" if ":" in host else host,
        port or (443 if ssl else _PORT),
        ssl=ssl,
        headers=headers,
        tenant=tenant,
        database=database,
        timeout=_TIMEOUT if timeout is None else _seconds(timeout),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InvalidArgumentError(
            f"timeout must be a number of seconds above 0, got {short(value)}; 60 is the default"
        )
    return float(value)


_SECRET_LENGTH: Final = 8
"""A part of a header that is shorter may be a word, such as `Bearer`."""


def _secrets(headers: Mapping[str, str]) -> list[str]:
    """What must not be shown of headers, the longest first: their values, and the words of these; also as JSON."""
    parts = {part for value in headers.values() for part in (value, *value.split()) if len(part) >= _SECRET_LENGTH}
    return sorted({*parts, *(json.dumps(part)[1:-1] for part in parts)}, key=len, reverse=True)


def _hide(response: httpx.Response, secrets: Sequence[str]) -> None:
    """Take secrets out of the body of an error before chromadb makes its message of it: servers quote requests."""
    if not response.is_error:
        return
    text = response.read()
    for secret in secrets:
        text = text.replace(secret.encode(), HIDDEN.encode())
    response._content = text  # pyright: ignore[reportPrivateUsage]  # httpx offers no other way


def _is_header(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _open_memory() -> Connection:
    """Open a store of its own in memory."""
    with mapped("starting", "Chroma in memory"):
        system = started(is_persistent=False, chroma_api_impl=RUST)
        client = Server(server_of(system), DEFAULT_TENANT, DEFAULT_DATABASE)
    return Connection(
        client,
        "in memory",
        "chroma:",
        exclusive=True,
        persistent=False,
        release=partial(stop, system),
        sync_threshold=sync_threshold_of(system),
    )


def _open_http(
    host: str,
    port: int,
    *,
    ssl: bool,
    headers: Mapping[str, str] | None,
    tenant: str,
    database: str,
    timeout: float,
) -> Connection:
    """Open a store on a Chroma server.

    Raises:
        BackendUnavailableError: No server is there.
        BackendTimeoutError: It does not answer.
        BackendPermissionError: It refuses access.
    """
    place = f"chroma+{'https' if ssl else 'http'}://{host}:{port}"
    with mapped("connecting", f"to {place}"):
        system = started(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=host,
            chroma_server_http_port=port,
            chroma_server_ssl_enabled=ssl,
            chroma_server_headers=dict(headers or {}),
        )
        client = Server(server_of(system), tenant, database)
        if session := client.session:
            session.event_hooks["response"].append(partial(_hide, secrets=_secrets(headers or {})))
        try:
            if session := client.session:
                session.timeout = httpx.Timeout(min(timeout, _CONNECT_SECONDS))
            client.check()
            if session:
                session.timeout = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS))
            return Connection(
                client,
                "over HTTP",
                place,
                exclusive=False,
                persistent=True,
                release=client.close,
                body_limit=_HTTP_BODY,
            )
        except BaseException:
            client.close()
            raise


_callers: WeakValueDictionary[int, Connection] = WeakValueDictionary()
_callers_lock = threading.Lock()


def use_client(client: object) -> Connection:
    """Use a client that the caller made, which is never closed from here.

    Raises:
        InvalidArgumentError: It is no synchronous client of chromadb.
    """
    if not isinstance(client, ClientAPI):
        raise InvalidArgumentError(
            f"client is a chromadb client (chromadb.PersistentClient(…), HttpClient(…)), not {type(client).__name__}"
        )
    with _callers_lock:
        connection = _callers.get(id(client))  # it holds the client, so the id is not another's
        if connection is None:
            connection = _callers[id(client)] = Connection(
                cast("Client", client),
                "by the caller's client",
                "the caller's Chroma client",
                exclusive=False,
                persistent=bool(client.get_settings().is_persistent) or _is_remote(client),
                release=lambda: None,
                body_limit=_HTTP_BODY if _is_remote(client) else None,
            )
        return connection


def _is_remote(client: ClientAPI) -> bool:
    return "fastapi" in str(client.get_settings().chroma_api_impl).lower()
