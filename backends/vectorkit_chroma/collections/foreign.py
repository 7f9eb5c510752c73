"""Collections that others made: with a client of chromadb, LangChain, LlamaIndex. Read as they are, and never written.

chromadb's own checks hold for them instead of the contract: names have up to 512 characters with dots, metadata is flat
(LlamaIndex keeps a node in it as a text of JSON), the space is mostly the default, squared l2.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np

from vectorkit.errors import BackendError, CollectionNotFoundError
from vectorkit.types import ForeignCollection, Metric, Record
from vectorkit_chroma._errors import mapped
from vectorkit_chroma.collections.catalog import every, is_ours
from vectorkit_chroma.collections.replacing import is_marked
from vectorkit_chroma.connections.client import Connection, RawCollection
from vectorkit_chroma.records.rows import chunks

__all__ = ["foreign_collections", "get", "scan"]

_METRICS: Final[dict[str, Metric]] = {"l2": "l2", "cosine": "cosine", "ip": "ip"}
_PART: Final = 250
"""Records of one read of a stream."""
_EVERYTHING: Final = ["documents", "metadatas", "embeddings", "uris"]
_URI: Final = "chroma:uri"
"""The key under which Chroma itself keeps the URI of a multimodal record in its metadata; rule 2.5 forbids it."""
_SAMPLE: Final = 1000
"""Records that are looked at for URIs, to say that there are any; they are read with every record."""
_OWN_URI: Final = "uri"
"""The key under which it is read."""


def foreign_collections(connection: Connection) -> list[ForeignCollection]:
    """See `VectorBackend.foreign_collections`."""
    with mapped("listing", f"the collections of {connection.place}"):
        return sorted(map(_described, _found(connection)), key=lambda each: each.name)


def scan(connection: Connection, name: str, after: str | None, batch_size: int) -> Iterator[list[Record]]:
    """See `VectorBackend.scan_foreign`."""
    place = f"collection {name!r} of {connection.place}"
    with mapped("reading", place):
        raw = _named(connection, name)
        ids: list[str] = raw.get(include=[])["ids"]

    def read(part: Sequence[str]) -> list[Record]:
        with mapped("reading", place):
            return _records(raw, list(part))

    parts = chunks(sorted(id for id in ids if after is None or id > after), _PART)
    found = (record for reading in connection.ahead(read, parts) for record in reading())
    while page := list(islice(found, batch_size)):
        yield page


def get(connection: Connection, name: str, ids: list[str]) -> list[Record]:
    """See `VectorBackend.get_foreign`."""
    with mapped("reading", f"collection {name!r} of {connection.place}"):
        raw = _named(connection, name)
        found = {record.id: record for page in chunks(ids, 1000) for record in _records(raw, list(page))}
    return [found[id] for id in ids if id in found]


def _found(connection: Connection) -> list[RawCollection]:
    return [raw for raw in every(connection.client) if not is_ours(raw) and not is_marked(raw)]


def _named(connection: Connection, name: str) -> RawCollection:
    for raw in _found(connection):
        if raw.name == name:
            return raw
    raise CollectionNotFoundError(f"there is no collection {name!r} of others in {connection.place}")


def _described(raw: RawCollection) -> ForeignCollection:
    configuration: Mapping[str, Any] = raw.configuration_json
    index: Mapping[str, Any] = configuration.get("hnsw") or configuration.get("spann") or {}
    space: str = index.get("space", "l2")
    try:
        vectors, count = raw.get(limit=1, include=["embeddings"])["embeddings"], raw.count()
    except BackendError as error:  # of the gate's: its graph is torn, and is not loaded
        return ForeignCollection(raw.name, _METRICS[space], None, 0, str(raw.id), (str(error),))
    remarks = ["it was not made by vectorkit, so no identity of an embedder is stored with it"]
    if function := configuration.get("embedding_function"):
        remarks.append(f"its texts were embedded by Chroma's embedding function {function.get('name')!r}")
    if space == "l2":
        remarks.append("Chroma's distances in it are squared l2, here they are l2: other numbers in the same order")
    has_uris = any(uri is not None for uri in raw.get(limit=_SAMPLE, include=["uris"])["uris"])
    if has_uris:
        remarks.append(f"its records have URIs, which are kept in the metadata, under the key {_OWN_URI!r}")
    return ForeignCollection(
        name=raw.name,
        metric=_METRICS[space],
        dimension=len(vectors[0]) if len(vectors) else None,
        count=count,
        identity=str(raw.id),
        remarks=tuple(remarks),
        has_uris=has_uris,
    )


def _records(raw: RawCollection, ids: list[str]) -> list[Record]:
    """The records of those of the ids that are there, in that order."""
    result = raw.get(ids=ids, include=_EVERYTHING)
    found: dict[str, Record] = {}
    columns = (result["ids"], result["documents"], result["metadatas"], result["embeddings"], result["uris"])
    for id, document, metadata, vector, uri in zip(*columns, strict=True):
        embedding = None if vector is None else np.asarray(vector, dtype=np.float32)
        kept = dict(metadata or {})
        if uri is not None:
            # Where the key is taken, Chroma's own name stays, which no record may have: the record is not copied, but
            # refused or put aside, and neither value is lost.
            kept[_OWN_URI if kept.get(_OWN_URI, uri) == uri else _URI] = uri
        found[id] = Record(id, document, embedding, kept)
    return [found[id] for id in ids if id in found]
