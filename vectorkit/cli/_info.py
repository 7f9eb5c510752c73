"""`vectorkit info`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from vectorkit.cli._common import out
from vectorkit.cli._condition import print_condition
from vectorkit.cli._shown import AsJson, Url, check_there, excerpt, size_text
from vectorkit.registry import schemes

if TYPE_CHECKING:
    from vectorkit.protocol import VectorBackend
    from vectorkit.transfer.sources import Contents, Source
    from vectorkit.types import Storage

__all__ = ["info"]

_STATES: Final = {
    "waiting": "built when there are more records",
    "building": "being built",
    "ready": "ready",
    "missing": "not built yet",
}


def info(url: Url, as_json: AsJson = False) -> None:
    """Show what a store holds: its collections, with records, metric, dimension, embedder, indexes and sizes.

    vectorkit info chroma:./kb

    vectorkit info postgresql://me@localhost/db --json
    """
    from vectorkit.maintenance import examine
    from vectorkit.transfer.opening import open_source

    check_there(url)
    condition = examine(url) if url.partition(":")[0] in schemes() else None  # before it is opened, which repairs
    with open_source(url) as source:
        backend = _backend(source)
        found: dict[str, Any] = {
            "url": source.label,
            "collections": [_described(each, backend) for each in source.contents()],
        }
        found["condition"] = None if condition is None else {"whole": condition.whole, **asdict(condition)}
        found["backend"] = None if backend is None else backend.name  # has its versions once it was used
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)
        if condition is not None:
            out.print()
            print_condition(condition)


def _backend(source: "Source") -> "VectorBackend | None":
    from vectorkit.transfer.stores import StoreSource

    return source.backend if isinstance(source, StoreSource) else None


def _described(contents: "Contents", backend: "VectorBackend | None") -> dict[str, Any]:
    """One collection; None is what is not known."""
    from vectorkit.indexes import index_text

    spec = contents.spec
    storage = None if backend is None or contents.foreign else _storage(backend, contents.name)
    return {
        "name": contents.name,
        "records": contents.count,
        "metric": None if spec is None else spec.metric,
        "dimension": None if spec is None else spec.dimension,
        "embedder": None if spec is None or spec.embedder is None else asdict(spec.embedder),
        "index": None if spec is None else index_text(spec.index),
        "index_state": None if storage is None else storage.index_state,
        "text_index": None if spec is None else spec.text_index,
        "language": None if spec is None else spec.language,
        "bytes": None if storage is None else {name: getattr(storage, name) for name in _PARTS},
        "left_out": None if storage is None else storage.left_out,
        "foreign": contents.foreign,
        "remarks": list(contents.remarks),
    }


_PARTS: Final = ("records", "vector_index", "text_index")


def _storage(backend: "VectorBackend", name: str) -> "Storage | None":
    from vectorkit.errors import UnsupportedError
    from vectorkit.store import VectorStore

    try:
        return VectorStore(backend).get_collection(name).storage()
    except UnsupportedError:
        return None


def _print(found: dict[str, Any]) -> None:
    """A block a collection: what is known of it, a line each."""
    collections: list[dict[str, Any]] = found["collections"]
    total = sum(each["records"] for each in collections)
    out.print(f"[bold]{escape(found['url'])}[/]  [dim]{escape(found['backend'] or '')}[/]", soft_wrap=True)
    out.print(f"{len(collections):,} collection(s), {total:,} record(s)", style="dim")
    for each in collections:
        out.print()
        made = "  [yellow]made by others[/]" if each["foreign"] else ""
        out.print(f"[bold]{escape(excerpt(each['name'], 200))}[/]{made}", soft_wrap=True)
        grid = Table.grid(padding=(0, 2))
        for name, value in _lines(each):
            grid.add_row(f"  [dim]{name}[/]", escape(value))
        out.print(grid)
        for remark in each["remarks"]:
            out.print(f"  {escape(excerpt(remark, 500))}", style="yellow", soft_wrap=True)
    if found["backend"] and any(each["bytes"] is None for each in collections):
        out.print("\nNot known to this store: how many bytes a collection takes, how far its index is.", style="dim")


def _lines(each: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("records", f"{each['records']:,}")]
    if each["metric"] is None:
        return [*lines, ("vectors", "not known: no record says how long they are")]
    embedder = each["embedder"]
    state = _STATES.get(each["index_state"] or "")
    lines += [
        ("vectors", f"{each['dimension']:,} dimensions, {each['metric']}"),
        ("embedder", "none stored" if embedder is None else f"{embedder['model']} ({embedder['kind']})"),
        ("index", each["index"] + (f", {state}" if state else "")),
        ("text index", each["language"] if each["text_index"] else "none"),
    ]
    if each["left_out"]:
        lines.append(("left out", f"{each['left_out']:,} rows of the table that cannot be records; see vectorkit lint"))
    if each["bytes"] is not None:
        parts = [f"{name.replace('_', ' ')} {size_text(size)}" for name, size in each["bytes"].items() if size]
        lines.append(("size", f"{size_text(sum(each['bytes'].values()))}: {', '.join(parts)}"))
    return lines
