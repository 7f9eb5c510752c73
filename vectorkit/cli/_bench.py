"""`vectorkit bench`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vectorkit.cli._common import out, progress_bar
from vectorkit.cli._shown import AsJson, Url, size_text

if TYPE_CHECKING:
    from vectorkit.benchmarking import Benchmark

__all__ = ["bench"]


def bench(
    url: Url,
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many vectors.")] = 10_000,
    dimension: Annotated[int, typer.Option(min=1, max=16_000, help="Their length.")] = 384,
    clustered: Annotated[
        bool, typer.Option("--clustered", help="Vectors in clusters, as embeddings are, not evenly spread.")
    ] = False,
    queries: Annotated[int, typer.Option(min=1, max=100_000, help="How many queries, each for 10 hits.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="A folder for bench.json and bench.png, recall against latency.", file_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what an index brings: latency and recall@10 with none, with IVFFlat over probes, HNSW over ef_search.

    The vectors are in a collection of their own, which is dropped at the end.

        vectorkit bench postgresql+embedded:./pg --count 20000 --clustered --output ./measured
    """
    from vectorkit import benchmarking, plotting
    from vectorkit.store import connect

    if output is not None:
        plotting.check()
    progress = progress_bar()
    with connect(url) as store, progress:
        task = progress.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        found = benchmarking.run(
            store,
            count=count,
            dimension=dimension,
            clustered=clustered,
            queries=queries,
            seed=seed,
            on_step=show,
        )
    if output is not None:
        _write(found, output)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        _print(found)


def _write(found: "Benchmark", folder: Path) -> None:
    from vectorkit import plotting
    from vectorkit.errors import InvalidArgumentError
    from vectorkit.paths import make_folder, write_private

    try:
        make_folder(folder)
        write_private(folder / "bench.json", (json.dumps(asdict(found), indent=2) + "\n").encode())
    except OSError as error:
        raise InvalidArgumentError(f"{folder} cannot be written to: {error.strerror}") from error
    plotting.draw(found, folder / "bench.png")


def _print(found: "Benchmark") -> None:
    """The indexes, then a line a way to search, then what was left out."""
    out.print(f"[bold]{escape(found.backend)}[/]")
    out.print(
        f"{found.count:,} {found.data} vectors of {found.dimension:,} dimensions, cosine, {found.queries:,} queries; "
        f"written in {found.load_seconds:.1f} s",
        style="dim",
        soft_wrap=True,
    )
    for build in found.builds:
        settings = ", ".join(f"{name}={value}" for name, value in build.settings.items()) or "the store's own settings"
        facts = [
            "built while writing" if build.seconds is None else f"built in {build.seconds:.1f} s",
            *([] if build.bytes is None else [size_text(build.bytes)]),
        ]
        out.print(f"{build.index} ({settings}): {', '.join(facts)}", soft_wrap=True)
    table = Table("index", *("setting", "p50 ms", "p95 ms", "recall@10"), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for point in found.points:
        setting = "" if point.setting is None else f"{point.setting}={point.value}"
        table.add_row(point.index, setting, f"{point.p50:.2f}", f"{point.p95:.2f}", f"{point.recall:.4f}")
    out.print()
    out.print(table)
    for reason in found.left_out:
        out.print(f"left out: {escape(reason)}", style="dim", soft_wrap=True)
