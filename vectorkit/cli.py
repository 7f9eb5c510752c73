"""The `vectorkit` command. Exit codes: 0 what was asked for holds, 1 it does not, 2 it could not be asked."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from vectorkit._narrow import is_dict
from vectorkit.errors import InvalidArgumentError, VectorKitError

if TYPE_CHECKING:
    from vectorkit.evaluation import Dataset, Outcome
    from vectorkit.testing.report import Report, Result

__all__ = ["app"]

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_LINES = 6  # of the message of a failure on the terminal; JSON has them all


class _Commands(TyperGroup):
    """A mistake of the user's is a line and exit code 2, no traceback; Ctrl-C is 130, as in a shell."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VectorKitError as error:
            _err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _err.print("interrupted")
            raise typer.Exit(130) from None


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        _out.print(f"vectorkit {version('vectorkit-db')}")
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


@app.command()
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

    Runs the suite that vectorkit's own backends pass. Exit code 0 if every test passes, but for the deviations.

        vectorkit conformance chroma:./empty

        vectorkit conformance postgresql://me@localhost/empty --json > report.json
    """
    from vectorkit.testing import report

    progress = _progress()
    with progress if _err.is_terminal else nullcontext():
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


@app.command()
def evaluate(
    url: Annotated[str, typer.Argument(help="The URL of a store; the collection that is made in it is dropped again.")],
    folder: Annotated[
        Path, typer.Argument(help="A folder with corpus.jsonl, queries.jsonl and qrels.tsv, in the layout of BEIR.")
    ],
    model: Annotated[
        str, typer.Option(help="The embedding model: its name, or the path of its folder.")
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    weight: Annotated[
        list[float] | None,
        typer.Option(help="A weight of the vectors in hybrid search, 0 to 1; may be given again.", show_default="five"),
    ] = None,
    language: Annotated[str, typer.Option(help="The language of the documents, or none.")] = "english",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure search on your own data: which mode, and which weight, finds what people judged to be right?

    Prints nDCG@10, recall@10 and MRR@10 of search by vectors, by words, and by both.

        vectorkit evaluate memory: ./my-data --weight 0.6 --weight 0.8
    """
    from vectorkit import evaluation
    from vectorkit.embedders import SentenceTransformerEmbedder
    from vectorkit.store import connect

    dataset = evaluation.read_dataset(folder)
    progress = _progress()
    with progress if _err.is_terminal else nullcontext(), connect(url) as store:
        task = progress.add_task("embedding", total=len(dataset.documents))

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        outcomes = evaluation.evaluate(
            store,
            dataset,
            SentenceTransformerEmbedder(model, progress=partial(show, "embedding")),
            weights=weight or evaluation.WEIGHTS,
            language=language,
            on_search=partial(show, "searching"),
        )
        backend = store.backend.name
    if as_json:
        counts = {"documents": len(dataset.documents), "queries": len(dataset.queries)}
        results = [{**asdict(each), "quality": each.quality._asdict()} for each in outcomes]
        typer.echo(json.dumps({"backend": backend, "model": model, **counts, "results": results}, indent=2))
    else:
        _print_outcomes(backend, dataset, outcomes)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_err, transient=True)


def _print_outcomes(backend: str, dataset: "Dataset", outcomes: Sequence["Outcome"]) -> None:
    """A line a way to search, the best figure of each column in bold."""
    _out.print(f"[bold]{escape(backend)}[/]")
    _out.print(f"{len(dataset.documents):,} documents, {len(dataset.queries):,} queries with an answer\n", style="dim")
    table = Table("search", *("nDCG@10", "recall@10", "MRR@10"), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    best = [max(figures) for figures in zip(*(each.quality for each in outcomes), strict=True)]
    for each in outcomes:
        how = "" if each.fusion is None else f" {each.fusion if each.weight is None else f'weight={each.weight:g}'}"
        figures = zip(each.quality, best, strict=True)
        table.add_row(f"{each.mode}{how}", *(f"[bold]{it:.4f}[/]" if it == top else f"{it:.4f}" for it, top in figures))
    _out.print(table)


def _read_deviations(file: Path | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgumentError(f"{file} is no JSON: {error}") from error
    if not is_dict(known) or not all(isinstance(reason, str) for reason in known.values()):
        raise InvalidArgumentError(f'{file} should hold an object such as {{"test_x": "reason and link"}}')
    return {str(test): str(reason) for test, reason in known.items()}


def _print_report(found: "Report") -> None:
    """A line a section, then every failure and deviation, then the verdict."""
    _out.print(f"[bold]{escape(found.backend)}[/]")
    _out.print(", ".join(f"{name} {number}" for name, number in found.versions.items()), style="dim")
    can = [name.replace("_", " ") for name, value in found.to_json()["capabilities"].items() if value]
    _out.print(f"declares: {', '.join(can) or 'nothing'}\n", style="dim")
    table = Table("section", *("passed", "failed", "deviations", "not run", "seconds"), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for section in found.sections:
        counts = (section.passed, section.failed, section.deviations, section.not_run)
        style = "red" if section.failed or section.not_run else "yellow" if section.deviations else None
        table.add_row(f"{section.number} {section.title}", *map(str, counts), f"{section.seconds:.1f}", style=style)
    _out.print(table)
    for result in found.results:
        if result.outcome in ("failed", "deviation"):
            _out.print(
                f"\n[bold]{result.outcome}[/] {escape(result.test)}",
                style="red" if result.outcome == "failed" else "yellow",
            )
            _out.print(f"  rule {result.rule}: {escape(result.proves)}")
            lines = result.message.splitlines()
            for line in lines[:_LINES]:
                _out.print(f"  {escape(line)}", style="dim", soft_wrap=True)
            if len(lines) > _LINES:
                _out.print(f"  … {len(lines) - _LINES} more lines with --json", style="dim")
    count = len(found.results)
    seconds = sum(result.seconds for result in found.results)
    if found.conforms:
        deviating = sum(section.deviations for section in found.sections)
        but = f", but for {deviating} deviation(s)" if deviating else ""
        _out.print(f"\n[bold green]conforms[/]{but}: {count} tests in {seconds:.0f} s")
    else:
        _out.print(
            f"\n[bold red]does not conform[/]: {len(found.failures)} of {count} tests failed in {seconds:.0f} s; "
            "docs/BACKENDS.md says how to debug one"
        )
