"""What a file says of the collection that it holds: a JSON object, beside the records."""

import json
from dataclasses import asdict
from typing import Final

from vectorkit._narrow import is_dict
from vectorkit.errors import BackendError, CollectionMismatchError
from vectorkit.indexes import index_text
from vectorkit.stored import read_spec
from vectorkit.types import CollectionSpec

__all__ = ["KEY", "header_of", "spec_of"]

KEY: Final = "vectorkit"
"""The key of the header in the metadata of a Parquet schema, and the first one in that of JSON lines."""

_VERSION: Final = 1


def header_of(spec: CollectionSpec) -> str:
    """The header of a file that holds such a collection."""
    return json.dumps({KEY: _VERSION, **asdict(spec), "index": index_text(spec.index)}, ensure_ascii=False)


def spec_of(header: object, label: str) -> CollectionSpec:
    """The collection that a header tells of.

    Raises:
        CollectionMismatchError: A later release wrote it.
        BackendError: It is none.
    """
    if is_dict(header) and header.get(KEY) != _VERSION:
        raise CollectionMismatchError(
            f"{label} is written in version {header.get(KEY)!r} of the layout, this vectorkit reads {_VERSION}; "
            "update vectorkit-db"
        )
    if not is_dict(header):
        raise BackendError(f"{label} has a header that does not tell of a collection; was it changed?")
    return read_spec({str(key): value for key, value in header.items()}, f"the header of {label}")
