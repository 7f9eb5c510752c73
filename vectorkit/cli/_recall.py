"""`vectorkit recall`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from vectorkit.cli._common import out
from vectorkit.cli._shown import AsJson, CollectionName, Url, check_there

__all__ = ["recall"]


def recall(
    url: Url,
    collection: CollectionName,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many hits to ask for.")] = 10,
    sample: Annotated[int, typer.Option(min=1, help="How many queries, each near a stored vector.")] = 100,
    at_least: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Exit with 1 if the mean is lower.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what the default search misses: its hits against those of an exact search, on the collection's own data.

    vectorkit recall postgresql://me@localhost/db docs

    vectorkit recall chroma:./kb docs -k 20 --sample 500 --at-least 0.98
    """
    from vectorkit.store import connect

    check_there(url)
    with connect(url) as store:
        found = store.get_collection(collection).recall(k, sample)
    holds = at_least is None or found.mean >= at_least
    if as_json:
        typer.echo(json.dumps({**asdict(found), "at_least": at_least, "holds": holds}, indent=2))
    else:
        out.print(str(found))
        if not holds:
            out.print(f"[bold red]below {at_least:g}[/]: a larger ef_search or more probes find more, more slowly")
    raise typer.Exit(0 if holds else 1)
