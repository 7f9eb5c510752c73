"""`vectorkit verify`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from vectorkit.cli._common import out, progress_bar
from vectorkit.cli._shown import AsJson, check_there
from vectorkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from vectorkit.transfer.verify.report import CollectionCheck, Verification
    from vectorkit.types import Vector

__all__ = ["print_verification", "renamed", "verify"]

_URL = "file:PATH.parquet, file:PATH.jsonl, or the URL of a store"


def verify(
    source: Annotated[str, typer.Argument(metavar="SRC", help=f"What should be there: {_URL}.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="What is compared with it: the same.")],
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="A collection of SRC; may be given again.", show_default="all"),
    ] = None,
    target_name: Annotated[
        str | None, typer.Option("--as", help="What the collection is called in DST.", show_default="the same")
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="How many records' vectors to search with.")] = 10,
    queries: Annotated[
        Path | None,
        typer.Option(
            help='Queries to search with besides, one a line: a text, or {"query": "a text"} or {"vector": [0.1, …]}.',
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that embeds those texts: a name or a folder.",
            show_default="the one stored with the collection",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many hits a search asks for.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Compare two stores: every record, then the same searches on both. Did the copy arrive, and does it answer alike?

    Compares ids, documents, metadata with their types, vectors, and what the collections were made with; then searches
    both sides, unfiltered and with filters taken from the data. Exit code 0 only if all agrees.

        vectorkit verify chroma:./kb postgresql://me@host/db

        vectorkit verify chroma:./kb file:backup.parquet --collection docs --json
    """
    from vectorkit.embedders._by_identity import embedder_of
    from vectorkit.transfer.verify.run import verify as verify_stores

    for url in (source, target):
        check_there(url)
    progress = progress_bar()
    with progress:
        task = progress.add_task("comparing", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=escape(what), completed=done, total=total)

        found = verify_stores(
            source,
            target,
            collections=collection,
            names=renamed(collection, target_name),
            queries=_read_queries(queries),
            embedder=lambda identity: embedder_of(identity, model=model),
            sample=sample,
            k=k,
            progress=show,
        )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        print_verification(found)
    raise typer.Exit(0 if found.agrees else 1)


def renamed(collection: list[str] | None, target_name: str | None) -> dict[str, str]:
    """What `--as` says: the one collection's name in the target."""
    if target_name is None:
        return {}
    if collection is None or len(collection) != 1:
        raise InvalidArgumentError("--as names one collection in the target: say which of the source with --collection")
    return {collection[0]: target_name}


def _read_queries(file: Path | None) -> "list[str | Vector]":
    from vectorkit.transfer.compare.queries import read_queries

    found: list[str | Vector] = []
    for query in [] if file is None else read_queries(file):
        asked = query.text if query.vector is None else query.vector
        if asked is None or query.where is not None:
            raise InvalidArgumentError(
                f"{file}: verify takes filters from the data; `vectorkit compare` asks with filters of your own"
            )
        found.append(asked)
    return found


def print_verification(found: "Verification") -> None:
    """A paragraph a collection: the first differences of each kind, the searches, the verdict."""
    out.print(f"[bold]{escape(found.source)}[/] and [bold]{escape(found.target)}[/]", soft_wrap=True)
    for check in found.collections:
        _print_check(check)
    agreeing = sum(check.agrees for check in found.collections)
    if found.agrees:
        out.print(f"\n[bold green]agree[/]: {agreeing} collection(s), every record")
    else:
        out.print(
            f"\n[bold red]differ[/]: {len(found.collections) - agreeing} of {len(found.collections)} collection(s)"
        )


def _print_check(check: "CollectionCheck") -> None:
    name = check.name if check.name == check.target_name else f"{check.name} as {check.target_name}"
    verdict = "[green]agrees[/]" if check.agrees else "[red]differs[/]"
    rate = f"{check.compared / check.seconds:,.0f}/s" if check.seconds else ""
    out.print(
        f"\n[bold]{escape(name)}[/] {verdict}: {check.compared:,} records compared in {check.seconds:.1f} s ({rate})"
    )
    for kind, count in check.differences.items():
        out.print(f"  [red]{kind}[/]: {count:,}")
        first = [each for each in check.first if each.kind == kind]
        for difference in first:
            out.print(f"    {escape(difference.text)}", style="dim", soft_wrap=True)
        if count > len(first):
            out.print(f"    … and {count - len(first):,} more", style="dim")
    if searches := check.searches:
        out.print(
            f"  {searches.searches} searches, without a filter and with {len(searches.filters)}: exact ones have "
            f"{searches.overlap:.2%} of their {searches.k} hits in common, with scores that differ by "
            f"{searches.score_difference:.1e} at most; default ones {searches.default_overlap:.2%}",
            soft_wrap=True,
        )
    for remark in check.remarks:
        out.print(f"  [yellow]{escape(remark)}[/]", soft_wrap=True)
