"""`vectorkit search`."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import typer
from rich.markup import escape
from rich.table import Table

from vectorkit.cli._common import out
from vectorkit.cli._shown import AsJson, CollectionName, Url, check_there, excerpt, filter_of

if TYPE_CHECKING:
    from vectorkit.store import VectorStore
    from vectorkit.types import Hit

__all__ = ["search"]

_DOCUMENT: Final = 240  # characters of a document that are shown; JSON has all of it
_METADATA: Final = 160


Mode: TypeAlias = Literal["vector", "text", "hybrid"]


def search(
    url: Url,
    collection: CollectionName,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    where: Annotated[str | None, typer.Option(help="A filter on metadata, as a JSON object.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="Rank by vectors, by words (needs a text index, no model), or by both.")
    ] = "vector",
    k: Annotated[int, typer.Option("-k", min=0, help="How many hits.")] = 10,
    model: Annotated[
        str | None,
        typer.Option(
            help="The embedding model: a name or a folder.", show_default="the one stored with the collection"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search a collection, with the embedding model that it was made with.

    vectorkit search chroma:./kb docs "How do networks learn?"

    vectorkit search postgresql://me@localhost/db docs "error E4021" --mode hybrid --where '{"year": 2024}' -k 3
    """
    from vectorkit.store import connect

    check_there(url)
    condition = filter_of(where)
    with connect(url) as store:
        hits = _found(store, collection, query, k, condition, mode, model)
    if as_json:
        typer.echo(json.dumps([_whole(hit) for hit in hits], indent=2))
    else:
        _print(hits)


def _found(
    store: "VectorStore", name: str, query: str, k: int, where: Any, mode: Mode, model: str | None
) -> "list[Hit]":
    from vectorkit.embedders import SentenceTransformerEmbedder
    from vectorkit.embedders._by_identity import embedder_of
    from vectorkit.errors import EmbeddingError

    docs = store.get_collection(name)
    if mode == "text":
        return docs.search(query, k, where=where, mode="text")
    identity = docs.info().spec.embedder
    if identity is not None:
        docs = store.get_collection(name, embedder=embedder_of(identity, model=model))
        return docs.search(query, k, where=where, mode=mode)
    if model is None:
        raise EmbeddingError(
            f"collection {name!r} was made without an embedder, so it is not known which model its vectors are from; "
            "say which with --model, or search by words with --mode text"
        )
    vector = SentenceTransformerEmbedder(model).embed_query(query)
    if mode == "hybrid":
        return docs.search(query, k, where=where, mode="hybrid", vector=vector)
    return docs.search(vector, k, where=where)


def _whole(hit: "Hit") -> dict[str, Any]:
    return {
        "id": hit.id,
        "score": hit.score,
        "distance": hit.distance,
        "document": hit.document,
        "metadata": hit.metadata,
    }


def _print(hits: "Sequence[Hit]") -> None:
    if not hits:
        out.print("no hits", style="dim")
        return
    table = Table(box=None, padding=(0, 2, 1, 0), expand=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("id", overflow="fold", ratio=2)
    table.add_column("document", ratio=6)
    table.add_column("metadata", overflow="fold", ratio=3)
    for hit in hits:
        metadata = json.dumps(hit.metadata, ensure_ascii=False) if hit.metadata else ""
        table.add_row(
            f"{hit.score:.4f}",
            escape(excerpt(hit.id, 80)),
            "[dim]none[/]" if hit.document is None else escape(excerpt(hit.document, _DOCUMENT)),
            f"[dim]{escape(excerpt(metadata, _METADATA))}[/]",
        )
    out.print(table)
