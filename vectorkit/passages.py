"""From files to records: plain text, Markdown, JSON lines and CSV, cut into passages that a model can read whole.

::

    docs.ingest(read_passages(find_files(["handbook"]).files), ids="content")

Texts are cut by semantic-text-splitter: between sections rather than paragraphs, between paragraphs rather than
sentences, between sentences rather than words.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from vectorkit.errors import InvalidArgumentError, MissingDependencyError
from vectorkit.file_texts import KNOWN, MARKDOWN, Reading, Text, texts_of
from vectorkit.metadata import as_metadata
from vectorkit.pruning import SOURCE
from vectorkit.types import Metadata, Record
from vectorkit.validation import check_between, check_text

__all__ = ["CHUNK_SIZE", "Found", "OnBad", "find_files", "read_passages", "source_of"]

CHUNK_SIZE: Final = 800
"""Characters of a passage: of English some 200 tokens, where the default model reads 256."""

OnBad = Callable[[Path, InvalidArgumentError], object]
"""Takes a file of which something cannot be read, and what; what comes after it is read if it returns."""

_Split = Callable[[str], Iterable[tuple[str, Metadata]]]
"""Cuts a text into passages, each with what there is to say of its place."""


class Found(NamedTuple):
    """The files of paths that a user gave.

    Attributes:
        files: Those to read, in order.
        passed_over: Files in folders whose names end in another way than those that are read.
    """

    files: list[Path]
    passed_over: list[Path]


def find_files(paths: Sequence[str | Path]) -> Found:
    """Find the files that paths name, and in folders, at any depth, all whose kind is known by their name.

    Files and folders in them whose names begin with a dot are left alone. A file that is named itself is read whatever
    its name ends in.

    Args:
        paths: Files and folders.

    Raises:
        InvalidArgumentError: There is no such path, or no file to read.
    """
    files: dict[Path, Path] = {}  # by where they are: one that two paths lead to is read once
    passed_over: list[Path] = []
    for path in map(Path, paths):
        if path.is_file():
            files.setdefault(path.resolve(), path)
        elif path.is_dir():
            for each in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in each.relative_to(path).parts)
                if hidden or not each.is_file():
                    continue
                if each.suffix.lower() in KNOWN:
                    files.setdefault(each.resolve(), each)
                else:
                    passed_over.append(each)
        else:
            raise InvalidArgumentError(f"there is no file or folder {str(path)!r}")
    if not files:
        raise InvalidArgumentError(f"there is nothing to read: no file whose name ends in {', '.join(KNOWN)}")
    return Found(list(files.values()), passed_over)


def source_of(file: Path) -> str:
    """What the metadata of its passages call a file: one name, however its path is written.

    Its path from the working directory on if it is in there, so that two machines agree; otherwise from the root.
    """
    here, there = Path.cwd().resolve(), file.resolve()
    inside = there.is_relative_to(here) and here != Path(here.anchor)
    return (there.relative_to(here) if inside else there).as_posix()


def read_passages(
    files: Iterable[Path],
    *,
    text_field: str = "text",
    chunk_size: int = CHUNK_SIZE,
    encoding: str = "utf-8",
    delimiter: str = ",",
    on_bad: OnBad | None = None,
) -> Iterator[Record]:
    """Read files, in memory bounded by the largest text of one, and cut them into passages.

    The end of a file's name decides how it is read: `.md` and `.markdown` as Markdown, `.jsonl` and `.ndjson` as JSON
    lines, `.csv` as CSV whose first row has the names of the columns, anything else as plain text. The metadata of a
    passage are `source`, the path of the file, see `source_of`; in Markdown `heading`, the headings above its beginning
    (`"Install > Linux"`); and all other fields of its line or row, which come before these where they are called the
    same. The values of CSV are strings: it has no types. Nothing in the metadata depends on what stands before a
    passage but its headings, so that ids by content stay when the text around it changes.

    Args:
        files: The files.
        text_field: The field of JSON lines, and the column of CSV, that holds the text.
        chunk_size: The most characters of a passage, 1 to 1,000,000.
        encoding: Of all files, as Python calls it; UTF-8 may begin with a byte order mark.
        delimiter: What separates the columns of CSV, one character.
        on_bad: Called with the file and the error for each line or row, or whole file, that is malformed; reading goes
            on behind it. None: the first one is raised.

    Yields:
        Passages, none of them blank; their ids are random, so give them by content (`ids="content"` of `ingest`).

    Raises:
        InvalidArgumentError: A file cannot be read or is malformed, or a line or row of it is, or has no such field;
            the message has the file, the line, and the fields there are.
        InvalidMetadataError: A field is not allowed as metadata (rule 2.5).
        MissingDependencyError: The splitter is not installed; the message has the line that does it.
    """
    size = check_between(chunk_size, 1, 1_000_000, "chunk_size")
    reading = Reading.checked(text_field, encoding, delimiter)
    plain, markdown = _splitters(size)
    for file in files:
        source = source_of(file)
        split = markdown if file.suffix.lower() in MARKDOWN else plain
        for text in texts_of(file, reading):
            found = text if isinstance(text, InvalidArgumentError) else _passages(text, source, split)
            if not isinstance(found, InvalidArgumentError):
                yield from found
            elif on_bad is None:
                raise found
            else:
                on_bad(file, found)


def _passages(text: Text, source: str, split: _Split) -> list[Record] | InvalidArgumentError:
    """The passages of a text, or what is wrong with it."""
    try:
        check_text(text.text, "the text")
        return [
            Record(document=passage, metadata=as_metadata({SOURCE: source, **place, **text.fields}, text.where))
            for passage, place in split(text.text)
        ]
    except InvalidArgumentError as error:
        if text.where in str(error):
            return error
        named = type(error)(f"{text.where}: {error}")
        named.__cause__ = error
        return named


# --- splitting --------------------------------------------------------------------------------------------------


class _Splitter(Protocol):
    def chunk_indices(self, text: str) -> list[tuple[int, str]]: ...


def _splitters(size: int) -> tuple[_Split, _Split]:
    """What cuts plain text, and what cuts Markdown."""
    try:
        library: Any = import_module("semantic_text_splitter")
        markdown_it: Any = import_module("markdown_it")
    except ImportError as error:
        raise MissingDependencyError(
            f"cutting texts into passages needs {error.name}, which is not installed: "
            "pip install 'vectorkit-db[ingest]'"
        ) from error
    text: _Splitter = library.TextSplitter(size)
    structured: _Splitter = library.MarkdownSplitter(size)
    parser = markdown_it.MarkdownIt("commonmark")

    def plain(text_: str) -> Iterator[tuple[str, Metadata]]:
        return ((passage, {}) for _, passage in text.chunk_indices(text_))

    def markdown(text_: str) -> Iterator[tuple[str, Metadata]]:
        headings = _headings(text_, parser.parse(text_))
        at = 0
        for start, passage in structured.chunk_indices(text_):
            while at + 1 < len(headings) and headings[at + 1][0] <= start:
                at += 1
            yield passage, {"heading": headings[at][1]} if headings[at][1] else {}

    return plain, markdown


def _headings(text: str, tokens: Sequence[Any]) -> list[tuple[int, str]]:
    """Where each heading begins, in characters, and its path; first the beginning of the text, without a heading."""
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    found = [(0, "")]
    above: list[tuple[int, str]] = []
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0:
            depth, line = int(token.tag[1:]), int(token.map[0])
            above = [each for each in above if each[0] < depth] + [(depth, " ".join(content.content.split()))]
            found.append((starts[line], " > ".join(title for _, title in above if title)))
    return found
