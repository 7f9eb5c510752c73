"""Putting one collection in the place of another.

Chroma can only do that in steps: the old one is renamed and marked, the new one takes its name, the old one is deleted.
The first step decides. Whoever next looks for a name that is missing, lists, creates, drops or replaces finishes what a
process died in; to all others a marked collection is none of this library's.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from chromadb.errors import NotFoundError

from vectorkit_chroma.collections.catalog import every, info_of, metadata_of
from vectorkit_chroma.connections.client import Client, RawCollection

__all__ = ["finish_all", "is_marked", "put_in_place"]

_KEY: Final = "vectorkit-replaced"


def put_in_place(client: Client, old: RawCollection, new: RawCollection) -> None:
    """Give the new collection the name of the old one, and delete the old one."""
    mark = {"name": old.name, "by": str(new.id), "metadata": dict(old.metadata or {})}
    old.modify(name=f"{_KEY}-{old.id}", metadata={_KEY: json.dumps(mark, ensure_ascii=False)})
    _finish(client, old, [new])


def is_marked(raw: RawCollection) -> bool:
    """Whether it is one that was replaced, and is about to be deleted."""
    return _KEY in (raw.metadata or {})


def finish_all(client: Client) -> bool:
    """Finish what processes died in, and return whether there was something to finish."""
    collections = every(client)
    marked = [raw for raw in collections if is_marked(raw)]
    for raw in marked:
        _finish(client, raw, collections)
    return bool(marked)


def _finish(client: Client, old: RawCollection, collections: Sequence[RawCollection]) -> None:
    mark: dict[str, Any] = json.loads((old.metadata or {})[_KEY])
    new = next((raw for raw in collections if str(raw.id) == mark["by"]), None)
    if all(raw.name != mark["name"] for raw in collections):
        try:
            if new is None:
                raise NotFoundError
            new.modify(name=mark["name"], metadata=metadata_of(replace(info_of(new).spec, name=mark["name"])))
        except NotFoundError:  # another process dropped it before it had the name
            old.modify(name=mark["name"], metadata=mark["metadata"])
            return
    with suppress(NotFoundError):  # another process finished it too
        client.delete_collection(old.name)
