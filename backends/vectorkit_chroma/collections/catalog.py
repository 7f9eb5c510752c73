"""What is stored about a collection: one JSON text in the metadata of Chroma's collection, beside Chroma's own name."""

import json
from dataclasses import asdict
from typing import Any, Final

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict
from vectorkit.errors import CollectionMismatchError, UnsupportedError
from vectorkit.indexes import HNSW, IVFFlat, index_text
from vectorkit.stored import damaged, read_spec
from vectorkit.types import CollectionInfo, CollectionSpec
from vectorkit_chroma.connections.client import Client, RawCollection

__all__ = ["configuration", "every", "info_of", "is_ours", "listed", "metadata_of", "set_sync_threshold"]

_KEY: Final = "vectorkit"
_SCHEMA: Final = 1
"""Version of the layout of collections and rows."""

_PAGE: Final = 500


def configuration(spec: CollectionSpec, sync_threshold: int) -> dict[str, Any]:
    """Chroma's settings for a collection."""
    return {"hnsw": {"space": spec.metric, "sync_threshold": sync_threshold, **_graph(spec)}}


def set_sync_threshold(raw: RawCollection, threshold: int) -> None:
    """Have Chroma save the graph after that many writes. It heeds this when it next loads the graph."""
    stored: Any = raw.configuration_json.get("hnsw") or {}
    if stored.get("sync_threshold") != threshold:
        raw.modify(configuration={"hnsw": {"sync_threshold": threshold}})


def _graph(spec: CollectionSpec) -> dict[str, int]:
    """The settings of the graph, those that differ from the default; the others are Chroma's own."""
    index = HNSW() if spec.index is None else spec.index
    if isinstance(index, IVFFlat) or index.quantization is not None:
        raise UnsupportedError(f"Chroma's index is HNSW of the vectors themselves, not {index!r}; use index='hnsw'")
    default = HNSW()
    settings = {
        "max_neighbors": (index.m, default.m),
        "ef_construction": (index.ef_construction, default.ef_construction),
        "ef_search": (index.ef_search, default.ef_search),
    }
    return {name: given for name, (given, usual) in settings.items() if given is not None and given != usual}


def metadata_of(spec: CollectionSpec) -> dict[str, str]:
    """The metadata of Chroma's collection."""
    stored = {"schema": _SCHEMA, **asdict(spec), "index": index_text(spec.index)}
    return {_KEY: json.dumps(stored, ensure_ascii=False)}


def is_ours(raw: RawCollection) -> bool:
    """Whether this library made the collection."""
    return _KEY in (raw.metadata or {})


def info_of(raw: RawCollection) -> CollectionInfo:
    """Return what is stored about a collection.

    Raises:
        CollectionMismatchError: It was not made by this library, or by a later version of it.
        BackendError: What is stored was changed or damaged.
    """
    if not is_ours(raw):
        raise CollectionMismatchError(
            f"{raw.name!r} is a collection of Chroma that was not made by vectorkit, so its records cannot be read by "
            "the rules; use another name, or copy its records into a new collection"
        )
    where = f"Chroma collection {raw.name!r}"
    try:
        stored: Any = parse_json(str((raw.metadata or {})[_KEY]))
    except ValueError:
        stored = None
    if not is_dict(stored):
        raise damaged(where, _KEY, "it does not hold a JSON object")
    schema = stored.get("schema")
    if schema != _SCHEMA:
        raise CollectionMismatchError(
            f"collection {raw.name!r} is stored in version {schema} of the layout, this vectorkit reads {_SCHEMA}; "
            "use the version of vectorkit that made it"
        )
    spec = read_spec({str(key): value for key, value in stored.items()}, where)
    return CollectionInfo(spec, generation=str(raw.id), location=f"Chroma collection {raw.id}")


def every(client: Client) -> list[RawCollection]:
    """All collections, whoever made them."""
    found: list[RawCollection] = []
    while page := client.list_collections(_PAGE, len(found)):
        found.extend(page)
    return found


def listed(client: Client) -> list[RawCollection]:
    """All collections of this library, in ascending order of name."""
    return sorted(filter(is_ours, every(client)), key=lambda raw: raw.name)
