"""`vectorkit repair`."""

import json
from dataclasses import asdict

import typer

from vectorkit.cli._condition import print_condition
from vectorkit.cli._shown import AsJson, Url, check_there

__all__ = ["repair"]


def repair(url: Url, as_json: AsJson = False) -> None:
    """Check the files of a store that nothing has open, and make good what can be.

    Of chroma:PATH, every saved graph is looked at, whoever made the collection, and compared with Chroma's log. A
    process that dies while it saves leaves a torn one: that is thrown away, and made anew from the log and from what
    can be read of its vectors. Nothing is thrown away whose vectors are nowhere else. Exit code 0 if all is whole then.

        vectorkit repair chroma:./kb
    """
    from vectorkit.maintenance import repair as repair_store

    check_there(url)
    condition = repair_store(url)
    if as_json:
        typer.echo(json.dumps({"whole": condition.whole, **asdict(condition)}, indent=2))
    else:
        print_condition(condition)
    raise typer.Exit(0 if condition.whole else 1)
