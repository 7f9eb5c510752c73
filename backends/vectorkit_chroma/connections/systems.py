"""Systems of chromadb: the objects that run Chroma in this process, or talk to a server."""

from typing import Any, Final, cast

from chromadb.api import ServerAPI
from chromadb.config import Settings, System

__all__ = ["NEVER", "RUST", "server_of", "started", "stop", "sync_threshold_of"]

RUST: Final = "chromadb.api.rust.RustBindingsAPI"

_SYNC_THRESHOLD: Final = 250
"""Writes of one collection after which Chroma saves its graph. Each write reads again, at some 16 µs a record, what the
log has beyond the last save; of 100, 250, 500 and 1,000 this was the fastest for rows with metadata and documents."""

NEVER: Final = 10**9
"""A threshold that is never reached: for where a torn graph could not be made whole again."""

_CACHE: Final = 1 << 24
"""Graphs that Chroma may have loaded. By default they are a fifth of the process's limit of open files, spread over 64
caches of their own, so that from about 60 collections on it drops graphs with what it has not saved of them."""


def started(**settings: Any) -> System:
    """A system of chromadb with these settings; from the environment come only those not given, from no .env file."""
    system = System(cast("Any", Settings)(_env_file=None, anonymized_telemetry=False, **settings))
    server: Any = server_of(system)
    if hasattr(server, "hnsw_cache_size"):
        server.hnsw_cache_size = _CACHE
    system.start()
    return system


def stop(system: System) -> bool:
    """Stop a system that runs Chroma in this process, unless that was done before; whether it had to be."""
    if not hasattr(server_of(system), "bindings"):
        return False
    system.stop()
    return True


def server_of(system: System) -> ServerAPI:
    """The object that does the calls; it stays the same when the system is stopped and started again."""
    return cast("ServerAPI", system.instance(cast("Any", ServerAPI)))


def sync_threshold_of(system: System) -> int:
    """Writes of one collection after which Chroma saves its graph: never, if it may drop graphs of its own accord."""
    return _SYNC_THRESHOLD if getattr(server_of(system), "hnsw_cache_size", 0) == _CACHE else NEVER
