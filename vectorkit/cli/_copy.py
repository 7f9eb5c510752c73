"""`vectorkit copy`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID, TextColumn, TimeRemainingColumn

from vectorkit.cli._common import out, progress_bar
from vectorkit.cli._shown import check_there
from vectorkit.cli._verify import print_verification, renamed

if TYPE_CHECKING:
    from vectorkit.transfer.copy.run import Copied, CopyProgress, CopyReport

__all__ = ["copy"]

_URL = "file:PATH.parquet, file:PATH.jsonl, or the URL of a store"


def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help=f"Where from: {_URL}.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Where to: the same.")],
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="A collection of SRC; may be given again.", show_default="all"),
    ] = None,
    target_name: Annotated[
        str | None, typer.Option("--as", help="What the collection is to be called in DST.", show_default="the same")
    ] = None,
    skip_bad: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON lines: records that break the rules, and lines of a file that hold no record, are put aside "
            "there, and the exit code is 1.",
            show_default="the first one is an error",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Then compare all records, and searches, as `vectorkit verify` does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Copy collections, every record exactly, from any store or file to any other: the day of the switch.

    Ids, documents, metadata with their types, vectors, metric, embedder, language, indexes: nothing is embedded again.
    Stopped in whatever way, the same command goes on where it was; done, it finds that there is nothing to do.
    Collections that LangChain, LlamaIndex or chromadb made are copied too. Exit code 0 only if all is there.

        vectorkit copy chroma:./kb postgresql://me@host/db --verify

        vectorkit copy chroma:./kb file:backup.parquet --collection docs

        vectorkit copy chroma:./kb postgresql://me@host/db -c my.docs --as my-docs --skip-bad bad.jsonl
    """
    from vectorkit.transfer.copy.run import copy as copy_stores
    from vectorkit.transfer.verify.run import verify as verify_stores

    check_there(source)
    bar = progress_bar(TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    names = renamed(collection, target_name)
    with bar:
        report = copy_stores(
            source, target, collections=collection, names=names, skip_bad=skip_bad, progress=_shown_on(bar)
        )
    found = None
    # Of a collection without records there is nothing to compare, and maybe not even a dimension to make one with.
    copied = {each.name: each.target_name for each in report.collections if each.count}
    if verify and copied:
        found = verify_stores(source, target, collections=list(copied), names=copied)
    if as_json:
        verification = {} if found is None else {"verification": found.to_json()}
        typer.echo(json.dumps({**report.to_json(), **verification}, indent=2))
    else:
        _print_report(report, skip_bad)
        if found is not None:
            print_verification(found)
    raise typer.Exit(0 if report.complete and (found is None or found.agrees) else 1)


def _shown_on(bar: Progress) -> "Callable[[CopyProgress], object]":
    tasks: dict[str, TaskID] = {}

    def show(progress: "CopyProgress") -> None:
        if progress.name not in tasks:  # what an earlier run did is no part of this one's rate
            tasks[progress.name] = bar.add_task(escape(progress.name), rate="", completed=progress.done)
        task = tasks[progress.name]
        speed = bar.tasks[list(bar.task_ids).index(task)].speed
        rate: dict[str, Any] = {} if speed is None else {"rate": _rate(speed)}
        indexing = " (indexing)" if progress.done == progress.total else ""
        description = f"{escape(progress.name)}{indexing}"
        bar.update(task, completed=progress.done, total=progress.total, description=description, **rate)

    return show


def _rate(records: float) -> str:
    """Records a second; `""` if that is less than one, which says nothing."""
    return f"{records:,.0f}/s" if records >= 1 else ""


def _print_report(report: "CopyReport", skip_bad: Path | None) -> None:
    """A line a collection, with what there is to be known of it."""
    out.print(f"[bold]{escape(report.source)}[/] to [bold]{escape(report.target)}[/]", soft_wrap=True)
    for each in report.collections:
        _print_copied(each, skip_bad)


def _print_copied(copied: "Copied", skip_bad: Path | None) -> None:
    name = copied.name if copied.name == copied.target_name else f"{copied.name} as {copied.target_name}"
    if copied.written:
        rate = _rate(copied.written / copied.seconds) if copied.seconds else ""
        before = copied.count - copied.written
        earlier = f", {before:,} were there" if before else ""
        done = f"{copied.written:,} records copied{earlier}, in {copied.seconds:.1f} s{rate and f' ({rate})'}"
    else:
        done = f"all {copied.count:,} records were there"
    out.print(f"[green]{escape(name)}[/]: {done}", soft_wrap=True)
    if copied.skipped:
        out.print(f"  [red]{copied.skipped:,} record(s) could not be copied[/]: see {escape(str(skip_bad))}")
    for remark in copied.remarks:
        out.print(f"  [yellow]{escape(remark)}[/]", soft_wrap=True)
