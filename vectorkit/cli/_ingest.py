"""`vectorkit ingest`."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from vectorkit.cli._common import err, out, progress_bar
from vectorkit.cli._shown import AsJson, CollectionName, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vectorkit.collection import Collection
    from vectorkit.passages import Found
    from vectorkit.progress import Ingested
    from vectorkit.store import VectorStore
    from vectorkit.types import Record

__all__ = ["ingest"]

_BATCH: Final = 100
"""Passages that Ctrl-C can cost at the most: some ten seconds of a model's work on a CPU."""


def ingest(
    url: Url,
    collection: CollectionName,
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders of them: .txt, .md, .jsonl, .csv.")],
    text_field: Annotated[
        str, typer.Option(help="The field of JSON lines and the column of CSV with the text; the others are metadata.")
    ] = "text",
    chunk_size: Annotated[int, typer.Option(min=1, max=1_000_000, help="The most characters of a passage.")] = 800,
    model: Annotated[
        str | None,
        typer.Option(
            help="The embedding model: a name or a folder.",
            show_default="that of the collection; for a new one, sentence-transformers/all-MiniLM-L6-v2",
        ),
    ] = None,
    text_index: Annotated[
        bool | None,
        typer.Option(
            "--text-index/--no-text-index",
            help="Whether a new collection can be searched by words too; a collection that exists is given the index.",
            show_default="on for a new collection",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="The language of a new collection's text index, or none.", show_default="english")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the stored passages of the files read that are not in them now.")
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Name and count files, lines and rows that cannot be read, and go on; the exit code is 1.",
            show_default="the first one is an error",
        ),
    ] = False,
    encoding: Annotated[str, typer.Option(help="Of all files: utf-8, latin-1, utf-16, cp1252 …")] = "utf-8",
    delimiter: Annotated[str, typer.Option(help=r"What separates the columns of CSV; \t is a tab.")] = ",",
    as_json: AsJson = False,
) -> None:
    """Read texts into a collection, which is made if it is missing: cut into passages, embedded, stored.

    The same command again stores only what is new: ids are made of the content. What has gone from the files stays
    stored, unless --prune is given. Metadata: source, heading (Markdown), and the other fields of JSON lines and CSV.

        vectorkit ingest chroma:./kb docs ./handbook README.md

        vectorkit ingest postgresql://me@localhost/db tickets tickets.csv --text-field body --prune
    """
    from vectorkit.passages import find_files, read_passages
    from vectorkit.store import connect

    found = find_files(paths)
    read = partial(
        read_passages,
        text_field=text_field,
        chunk_size=chunk_size,
        encoding=encoding,
        delimiter=delimiter.replace(r"\t", "\t"),
    )
    progress = progress_bar()
    with progress:
        task = progress.add_task("reading", total=None)
        # Reading takes next to no time beside embedding, and a fault in the last line shows before hours of that.
        survey = _Survey(read, found.files, skip_bad=skip_bad)
        progress.update(task, total=survey.passages, description=f"passages into {escape(collection)}")

        def show(counts: "Ingested") -> None:
            progress.update(task, completed=counts.written + counts.unchanged)

        with connect(url) as store:
            docs = _opened(store, collection, model, text_index, language)
            passages = read(found.files, on_bad=survey.check_known if skip_bad else None)
            pruned = survey.sources if prune else False
            done = docs.ingest(passages, ids="content", batch_size=_BATCH, prune=pruned, progress=show)
            stored = docs.count()
    passed_over = [path.as_posix() for path in found.passed_over]
    if as_json:
        counts = {name: value for name, value in asdict(done).items() if name != "total"}
        totals: dict[str, Any] = {"files": len(found.files), "passed_over": passed_over, "skipped": survey.bad}
        typer.echo(json.dumps({**totals, **counts, "stored": stored}, indent=2))
    else:
        _print_done(collection, found, done, stored, survey.bad, prune=prune)
    raise typer.Exit(1 if survey.bad else 0)


class _Survey:
    """What there is to read, read once before anything is embedded.

    Args:
        read: Reads files.
        files: The files.
        skip_bad: Whether what is malformed is kept in mind, and not raised.

    Attributes:
        passages: How many there are.
        bad: What is malformed, a sentence each.
        sources: What the metadata of passages call the files that are sound as a whole: in what is malformed there may
            be what was stored before, so nothing of such a file is pruned.
    """

    def __init__(self, read: "Callable[..., Iterator[Record]]", files: "Sequence[Path]", *, skip_bad: bool) -> None:
        from vectorkit.passages import source_of

        self.passages = 0
        self.bad: list[str] = []
        sound: set[str] = set()
        unsound: set[str] = set()
        for file in files:
            before = len(self.bad)
            sources = {source_of(file)}
            for passage in read([file], on_bad=self._note if skip_bad else None):
                self.passages += 1
                sources.add(str(passage.metadata["source"]))
            (sound if len(self.bad) == before else unsound).update(sources)
        self.sources = sorted(sound - unsound)

    def _note(self, _: Path, error: Exception) -> None:
        self.bad.append(str(error))

    def check_known(self, _: Path, error: Exception) -> None:
        """Raise what was not malformed when it was read first: its file was changed since."""
        if str(error) not in self.bad:
            raise error


def _print_done(collection: str, found: "Found", done: "Ingested", stored: int, bad: list[str], *, prune: bool) -> None:
    for each in bad:
        err.print(f"[yellow]skipped:[/] {escape(each)}", soft_wrap=True)
    pruned = f"{done.pruned:,} pruned, " if prune else ""
    out.print(
        f"{len(found.files):,} file(s), {done.read:,} passage(s): [bold]{done.written:,} written[/], "
        f"{done.unchanged:,} there already, {pruned}in {done.seconds:.1f} s; {escape(collection)} now holds {stored:,}",
        soft_wrap=True,
    )
    if bad:
        out.print(f"[red]{len(bad):,} file(s), line(s) or row(s) skipped[/]: they cannot be read, see above")
    if found.passed_over:
        kinds = sorted({path.suffix or path.name for path in found.passed_over})
        out.print(f"{len(found.passed_over):,} file(s) passed over: {escape(', '.join(kinds[:10]))}", style="dim")


def _opened(
    store: "VectorStore", name: str, model: str | None, text_index: bool | None, language: str | None
) -> "Collection":
    """The collection, made if it is missing, with the model it was made with, or the one asked for."""
    from vectorkit.embedders import SentenceTransformerEmbedder
    from vectorkit.embedders._by_identity import embedder_of
    from vectorkit.errors import CollectionNotFoundError, InvalidArgumentError
    from vectorkit.protocol import Embedder

    embedder: Embedder | None = None if model is None else SentenceTransformerEmbedder(model)
    try:
        identity = store.get_collection(name).info().spec.embedder
    except CollectionNotFoundError:
        wants_text_index = text_index is not False
    else:
        wants_text_index = text_index is True  # a collection that exists stays as it is unless told otherwise
        embedder = embedder_of(identity) if embedder is None and identity is not None else embedder
    docs = store.get_or_create_collection(
        name,
        embedder=embedder or SentenceTransformerEmbedder(),
        text_index=wants_text_index,
        language=language,
    )
    if text_index is False and docs.info().spec.text_index:
        raise InvalidArgumentError(f"collection {name!r} has a text index, which stays: leave --no-text-index out")
    return docs
