"""The `vectorkit` command. Exit codes: 0 what was asked for holds, 1 it does not, 2 it could not be asked."""

from importlib.metadata import version
from typing import Annotated

import typer

from vectorkit.cli._common import Commands, out
from vectorkit.cli._conformance import conformance
from vectorkit.cli._copy import copy
from vectorkit.cli._evaluate import evaluate
from vectorkit.cli._lint import lint
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

    A URL names a store: memory: · chroma:PATH · chroma+http://host:port · postgresql://user@host/db ·
    postgresql+embedded:PATH, or whatever else an installed package registers.
    """


for command in (
    conformance,
    copy,
    evaluate,
    lint,
    verify,
):
    app.command()(command)
