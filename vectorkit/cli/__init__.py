"""The `vectorkit` command. Exit codes: 0 what was asked for holds, 1 it does not, 2 it could not be asked."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

from vectorkit.cli._bench import bench
from vectorkit.cli._common import Commands, out
from vectorkit.cli._compare import compare
from vectorkit.cli._conformance import conformance
from vectorkit.cli._copy import copy
from vectorkit.cli._evaluate import evaluate
from vectorkit.cli._info import info
from vectorkit.cli._ingest import ingest
from vectorkit.cli._lint import lint
from vectorkit.cli._recall import recall
from vectorkit.cli._repair import repair
from vectorkit.cli._search import search
from vectorkit.cli._verify import verify

__all__ = ["app"]

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"vectorkit {version('vectorkit-db')}")
        raise typer.Exit


@app.callback()
def vectorkit(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prototype on Chroma, switch to Postgres by changing one line, get the same results, provably.

    \b
    A URL names a store:
      memory:                     in this process, gone at its end
      chroma:PATH                 Chroma on disk
      chroma+http://host:port     a Chroma server
      postgresql://user@host/db   PostgreSQL with pgvector
      postgresql+embedded:PATH    a PostgreSQL that is started for you
    or whatever else an installed package registers.

    \b
    To begin with:
      vectorkit ingest chroma:./kb docs ./handbook
      vectorkit search chroma:./kb docs "How do I install it?"
      vectorkit info chroma:./kb
    """  # noqa: D301 - \b tells click to keep the lines


_PANELS: Final[dict[str, tuple[Callable[..., Any], ...]]] = {
    "Look, fill, search": (info, ingest, search, repair),
    "Move": (copy, verify, compare, lint),
    "Measure": (recall, bench, evaluate, conformance),
}

for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
