"""`vectorkit conformance`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict
from vectorkit.cli._common import out, progress_bar
from vectorkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from vectorkit.testing.report import Report, Result

__all__ = ["conformance"]

_LINES = 6  # of the message of a failure on the terminal; JSON has them all


def conformance(
    url: Annotated[str, typer.Argument(help="The URL of an EMPTY store; everything made in it is dropped again.")],
    deviations: Annotated[
        Path | None,
        typer.Option(
            help="A JSON file of tests that are known to fail: an object of names, each with the reason and a link.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Examples of each property test, for a longer run.", show_default="few")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Hold a store to the contract, rule by rule: does a search on it mean what it means on all others?

    Runs the suite that vectorkit's own backends pass. Exit code 0 if every test passes, but for the deviations; 1 if
    one fails; 2 if the store cannot be used at all.

        vectorkit conformance chroma:./empty

        vectorkit conformance postgresql://me@localhost/empty --json > report.json
    """
    from vectorkit.testing import report

    progress = progress_bar()
    with progress:
        task = progress.add_task("", total=None)

        def show(result: "Result", total: int) -> None:
            failed = "failed: " if result.outcome == "failed" else ""
            progress.update(task, advance=1, total=total, description=f"{failed}{result.test[:60]}")

        found = report.run(url, deviations=_read_deviations(deviations), examples=examples, on_result=show)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print_report(found)
    raise typer.Exit(0 if found.conforms else 1)


def _read_deviations(file: Path | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        known = parse_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgumentError(f"{file} is no JSON: {error}") from error
    if not is_dict(known) or not all(isinstance(reason, str) for reason in known.values()):
        raise InvalidArgumentError(f'{file} should hold an object such as {{"test_x": "reason and link"}}')
    return {str(test): str(reason) for test, reason in known.items()}


def _print_report(found: "Report") -> None:
    """A line a section, then every failure and deviation, then the verdict."""
    out.print(f"[bold]{escape(found.backend)}[/]")
    out.print(", ".join(f"{name} {number}" for name, number in found.versions.items()), style="dim")
    can = [name.replace("_", " ") for name, value in found.to_json()["capabilities"].items() if value is True]
    out.print(f"declares: {', '.join(can) or 'nothing'}\n", style="dim")
    table = Table("section", *("passed", "failed", "deviations", "not run", "seconds"), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for section in found.sections:
        counts = (section.passed, section.failed, section.deviations, section.not_run)
        style = "red" if section.failed or section.not_run else "yellow" if section.deviations else None
        table.add_row(f"{section.number} {section.title}", *map(str, counts), f"{section.seconds:.1f}", style=style)
    out.print(table)
    for result in found.results:
        if result.outcome in ("failed", "deviation"):
            out.print(
                f"\n[bold]{result.outcome}[/] {escape(result.test)}",
                style="red" if result.outcome == "failed" else "yellow",
            )
            out.print(f"  rule {result.rule}: {escape(result.proves)}")
            lines = result.message.splitlines()
            for line in lines[:_LINES]:
                out.print(f"  {escape(line)}", style="dim", soft_wrap=True)
            if len(lines) > _LINES:
                out.print(f"  … {len(lines) - _LINES} more lines with --json", style="dim")
    count = len(found.results)
    seconds = sum(result.seconds for result in found.results)
    if found.conforms:
        deviating = sum(section.deviations for section in found.sections)
        but = f", but for {deviating} deviation(s)" if deviating else ""
        out.print(f"\n[bold green]conforms[/]{but}: {count} tests in {seconds:.0f} s")
    else:
        out.print(
            f"\n[bold red]does not conform[/]: {len(found.failures)} of {count} tests failed in {seconds:.0f} s; "
            "docs/BACKENDS.md says how to debug one"
        )
