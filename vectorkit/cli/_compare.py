"""`vectorkit compare`."""

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from vectorkit.cli._common import out, progress_bar
from vectorkit.cli._search import Mode
from vectorkit.cli._shown import AsJson, check_there, excerpt, filter_of
from vectorkit.errors import InvalidArgumentError
from vectorkit.paths import write_private

if TYPE_CHECKING:
    from vectorkit.transfer.compare.report import Comparison, QueryComparison
    from vectorkit.types import Hit

__all__ = ["compare"]

_ID: Final = 40  # characters that are shown; JSON and the page have all
_SENTENCES: Final = 5


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The URL of a store.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The URL of another.")],
    queries: Annotated[
        Path,
        typer.Option(
            help='A file of queries, one a line: a text, or {"query": "a text"} or {"vector": [0.1, …]}, with '
            '"where": {…} if wanted.',
            exists=True,
            dir_okay=False,
        ),
    ],
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", help="A collection that both have.", show_default="the only one"),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many hits.")] = 10,
    mode: Annotated[Mode, typer.Option(help="Rank by vectors, by words (needs no model), or by both.")] = "vector",
    where: Annotated[str | None, typer.Option(help="A filter on metadata, as a JSON object.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The embedding model: a name or a folder.", show_default="the one stored with the collection"
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page to look at and pass on: one file, no server.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask two stores the same questions, side by side: are the answers the same, and how fast does each give them?

    Exit code 0 if all answers agree: the same records, scores and order, up to what the contract lets differ.

        vectorkit compare chroma:./kb postgresql://me@host/db --queries questions.txt --html report.html

        vectorkit compare chroma:./kb postgresql+embedded:./pg --queries q.jsonl --mode hybrid --where '{"year": 2024}'
    """
    from vectorkit.transfer.compare.page import page
    from vectorkit.transfer.compare.queries import read_queries
    from vectorkit.transfer.compare.run import compare as compare_stores

    for url in (first, second):
        check_there(url)
    asked, condition = read_queries(queries), filter_of(where)
    progress = progress_bar()
    with progress:
        task = progress.add_task("asking", total=len(asked))
        found = compare_stores(
            first,
            second,
            asked,
            collection=collection,
            k=k,
            mode=mode,
            where=condition,
            embedder=model,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if html is not None:
        try:
            write_private(html, page(found).encode())
        except OSError as error:
            raise InvalidArgumentError(f"{html} cannot be written: {error.strerror}") from error
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print(found, html)
    raise typer.Exit(0 if found.agrees else 1)


def _print(found: "Comparison", html: Path | None) -> None:
    """Both answers to each query beside each other, then the verdict."""
    out.print(f"[bold]A[/] {escape(found.first)}\n[bold]B[/] {escape(found.second)}", soft_wrap=True)
    for query in found.queries:
        _print_query(query)
    first, second = found.times
    out.print(
        f"\nmilliseconds a search, half and 95 of 100: A {first.p50:.1f}, {first.p95:.1f}; "
        f"B {second.p50:.1f}, {second.p95:.1f}"
    )
    out.print(f"overlap of hits {found.overlap:.4f}, largest difference of scores {found.score_difference:.1e}")
    if html is not None:
        out.print(f"written: {escape(str(html))}", soft_wrap=True)
    disagreeing = sum(not query.agrees for query in found.queries)
    if disagreeing:
        out.print(f"[bold red]differ[/] in {disagreeing} of {len(found.queries)} queries")
    else:
        out.print(f"[bold green]agree[/] in {len(found.queries)} queries, up to rules 6.5 and 7.5 of the contract")


def _print_query(query: "QueryComparison") -> None:
    verdict = "[green]agree[/]" if query.agrees else "[red]differ[/]"
    under = "" if query.where is None else f" [dim]where {escape(excerpt(json.dumps(query.where), 100))}[/]"
    out.print(f"\n[bold]{escape(excerpt(query.query, 200))}[/]{under}: {verdict}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", justify="right")
    for name, answer in (("A", query.first), ("B", query.second)):
        table.add_column(f"score {name}", justify="right", no_wrap=True)
        table.add_column(f"{name}, {answer.milliseconds:.1f} ms", overflow="fold", ratio=1)
    for rank, (ours, theirs) in enumerate(zip_longest(query.first.hits, query.second.hits), 1):
        same = ours is not None and theirs is not None and ours.id == theirs.id
        table.add_row(str(rank), *_cells(ours), *_cells(theirs), style=None if same else "yellow")
    out.print(table)
    for sentence in query.differences[:_SENTENCES]:
        out.print(f"  {escape(sentence)}", style="red", soft_wrap=True)
    if len(query.differences) > _SENTENCES:
        out.print(f"  … {len(query.differences) - _SENTENCES} more with --json or --html", style="dim")


def _cells(hit: "Hit | None") -> tuple[str, str]:
    if hit is None:
        return "", "[dim]none[/]"
    document = "" if hit.document is None else f" [dim]{escape(excerpt(hit.document, 60))}[/]"
    return f"{hit.score:.6f}", f"{escape(excerpt(hit.id, _ID))}{document}"
