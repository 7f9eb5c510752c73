"""`vectorkit evaluate`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vectorkit.cli._common import out, progress_bar

if TYPE_CHECKING:
    from vectorkit.evaluation import Dataset, Outcome

__all__ = ["evaluate"]


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
    progress = progress_bar()
    with progress, connect(url) as store:
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


def _print_outcomes(backend: str, dataset: "Dataset", outcomes: Sequence["Outcome"]) -> None:
    """A line a way to search, the best figure of each column in bold."""
    out.print(f"[bold]{escape(backend)}[/]")
    out.print(f"{len(dataset.documents):,} documents, {len(dataset.queries):,} queries with an answer\n", style="dim")
    table = Table("search", *("nDCG@10", "recall@10", "MRR@10"), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    best = [max(figures) for figures in zip(*(each.quality for each in outcomes), strict=True)]
    for each in outcomes:
        how = "" if each.fusion is None else f" {each.fusion if each.weight is None else f'weight={each.weight:g}'}"
        figures = zip(each.quality, best, strict=True)
        table.add_row(f"{each.mode}{how}", *(f"[bold]{it:.4f}[/]" if it == top else f"{it:.4f}" for it, top in figures))
    out.print(table)
