"""`vectorkit lint`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from vectorkit.cli._common import out, progress_bar
from vectorkit.cli._shown import AsJson, check_there

if TYPE_CHECKING:
    from vectorkit.transfer.lint.findings import LintReport

__all__ = ["lint"]

_TITLES = {
    "lost": "[bold red]will not survive a move[/]",
    "changed": "[bold yellow]will not mean the same elsewhere[/]",
    "note": "[bold]worth knowing[/]",
}


def lint(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="The URL of a store, file:PATH.parquet or file:PATH.jsonl.")
    ],
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="A collection of SRC; may be given again.", show_default="all"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look, while still prototyping, for what will not survive a move to another store, or not mean the same there.

    Reads every record: NUL, numbers that a store cannot hold, keys, missing and zero vectors, types that filters do not
    see, distances that another program computes otherwise. Exit code 0 if nothing will be lost or changed.

        vectorkit lint chroma:./kb

        vectorkit lint chroma:./langchain --collection docs --json
    """
    from vectorkit.transfer.lint.run import lint as lint_store

    check_there(source)
    progress = progress_bar()
    with progress:
        task = progress.add_task("reading", total=None)

        def show(name: str, done: int, total: int) -> None:
            progress.update(task, description=f"reading {escape(name)}", completed=done, total=total)

        report = lint_store(source, collections=collection, progress=show)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print_report(report)
    raise typer.Exit(0 if report.portable else 1)


def _print_report(report: "LintReport") -> None:
    """By severity, the worst first: what, where, of which records, what to do."""
    out.print(
        f"[bold]{escape(report.source)}[/]: {report.records:,} records in {len(report.collections)} collection(s)"
    )
    for severity, title in _TITLES.items():
        findings = [finding for finding in report.findings if finding.severity == severity]
        if findings:
            out.print(f"\n{title}")
        for finding in findings:
            rule = f" (rule {finding.rule})" if finding.rule else ""
            count = f"{finding.count:,} record(s): " if finding.count else ""
            where = f"[bold]{escape(finding.collection)}[/]"
            out.print(f"  {where}: {count}{escape(finding.message)}{rule}", soft_wrap=True)
            if finding.ids:
                more = ", …" if finding.count > len(finding.ids) else ""
                out.print(f"    {escape(', '.join(map(repr, finding.ids)))}{more}", style="dim", soft_wrap=True)
            if finding.advice:
                out.print(f"    → {escape(finding.advice)}", style="dim", soft_wrap=True)
    verdict = "[bold green]portable[/]" if report.portable else "[bold red]not portable as it is[/]"
    out.print(f"\n{verdict}")
