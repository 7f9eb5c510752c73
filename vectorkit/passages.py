"""From files to records: plain text, Markdown, JSON lines and CSV, cut into passages that a model can read whole.

::

    docs.ingest(read_passages(find_files(["handbook"]).files), ids="content")

Texts are cut by semantic-text-splitter: between sections rather than paragraphs, between paragraphs rather than
sentences, between sentences rather than words.
"""

import csv
import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from vectorkit._narrow import is_dict
from vectorkit.errors import InvalidArgumentError, MissingDependencyError
from vectorkit.metadata import as_metadata
from vectorkit.types import Json, Metadata, Record
from vectorkit.validation import check_between, check_text, short

__all__ = ["CHUNK_SIZE", "Found", "find_files", "read_passages"]

CHUNK_SIZE: Final = 800
"""Characters of a passage: of English some 200 tokens, where the default model reads 256."""

_MARKDOWN: Final = (".md", ".markdown")
_TEXT: Final = (".txt", ".text")
_LINES: Final = (".jsonl", ".ndjson")
_CSV: Final = (".csv",)
_KNOWN: Final = (*_TEXT, *_MARKDOWN, *_LINES, *_CSV)

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
    files: dict[Path, None] = {}
    passed_over: list[Path] = []
    for path in map(Path, paths):
        if path.is_file():
            files[path] = None
        elif path.is_dir():
            for each in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in each.relative_to(path).parts)
                if hidden or not each.is_file():
                    continue
                if each.suffix.lower() in _KNOWN:
                    files[each] = None
                else:
                    passed_over.append(each)
        else:
            raise InvalidArgumentError(f"there is no file or folder {str(path)!r}")
    if not files:
        raise InvalidArgumentError(f"there is nothing to read: no file whose name ends in {', '.join(_KNOWN)}")
    return Found(list(files), passed_over)


def read_passages(files: Iterable[Path], *, text_field: str = "text", chunk_size: int = CHUNK_SIZE) -> Iterator[Record]:
    """Read files, in memory bounded by the largest text of one, and cut them into passages.

    The end of a file's name decides how it is read: `.md` and `.markdown` as Markdown, `.jsonl` and `.ndjson` as JSON
    lines, `.csv` as CSV whose first row has the names of the columns, anything else as plain text; all in UTF-8. The
    metadata of a passage are `source`, the path of the file; `chunk`, its number in its text from 0; in Markdown
    `heading`, the headings above its beginning (`"Install > Linux"`); and all other fields of its line or row, which
    come before these where they are called the same. The values of CSV are strings: it has no types.

    Args:
        files: The files.
        text_field: The field of JSON lines, and the column of CSV, that holds the text.
        chunk_size: The most characters of a passage, 1 to 1,000,000.

    Yields:
        Passages, none of them blank; their ids are random, so give them by content (`ids="content"` of `ingest`).

    Raises:
        InvalidArgumentError: A file cannot be read or is malformed, or a line or row of it is, or has no such field;
            the message has the file, the line, and the fields there are.
        InvalidMetadataError: A field is not allowed as metadata (rule 2.5).
        MissingDependencyError: The splitter is not installed; the message has the line that does it.
    """
    size = check_between(chunk_size, 1, 1_000_000, "chunk_size")
    plain, markdown = _splitters(size)
    for file in files:
        suffix = file.suffix.lower()
        source = file.as_posix()
        split = markdown if suffix in _MARKDOWN else plain
        for where, text, fields in _texts(file, suffix, text_field):
            with _at(where):
                check_text(text, "the text")
                for number, (passage, place) in enumerate(split(text)):
                    metadata = {"source": source, "chunk": number, **place, **fields}
                    yield Record(document=passage, metadata=as_metadata(metadata, where))


# --- reading ----------------------------------------------------------------------------------------------------


def _texts(file: Path, suffix: str, text_field: str) -> Iterator[tuple[str, str, dict[str, Json]]]:
    """The texts of a file: where each is, for messages, the text, and its fields."""
    try:
        with file.open(encoding="utf-8-sig", newline="" if suffix in _CSV else None) as lines:
            if suffix in _LINES:
                yield from _json_lines(file, lines, text_field)
            elif suffix in _CSV:
                yield from _csv_rows(file, lines, text_field)
            else:
                yield str(file), lines.read(), {}
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{file} is no UTF-8 text: {error.reason} at byte {error.start:,}") from error
    except OSError as error:
        raise InvalidArgumentError(f"{file} cannot be read: {error.strerror}") from error


def _json_lines(file: Path, lines: Iterable[str], text_field: str) -> Iterator[tuple[str, str, dict[str, Json]]]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        where = f"{file}, line {number:,}"
        try:
            row: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidArgumentError(f"{where}: no JSON: {error}") from error
        if not is_dict(row):
            raise InvalidArgumentError(f"{where}: expected a JSON object, not {short(row)}")
        fields: dict[str, Any] = {str(key): value for key, value in row.items()}
        text = _taken(where, fields, text_field)
        if not isinstance(text, str):
            raise InvalidArgumentError(f"{where}: {text_field!r} is the text, and so a string, not {short(text)}")
        yield where, text, fields


def _csv_rows(file: Path, lines: Iterable[str], text_field: str) -> Iterator[tuple[str, str, dict[str, Json]]]:
    with _large_fields():
        rows = csv.reader(lines, strict=True)
        try:
            names = next(rows, list[str]())
            if len(set(names)) < len(names) or "" in names:
                raise InvalidArgumentError(
                    f"{file}, line 1: the first row should name each column, once: {short(names, 200)}"
                )
            for row in rows:
                where = f"{file}, line {rows.line_num:,}"
                if not row:
                    continue
                if len(row) != len(names):
                    raise InvalidArgumentError(f"{where}: {len(row):,} fields, where the first row has {len(names):,}")
                fields: dict[str, Json] = dict(zip(names, row, strict=True))
                yield where, str(_taken(where, fields, text_field)), fields
        except csv.Error as error:
            raise InvalidArgumentError(f"{file}, line {rows.line_num:,}: no CSV: {error}") from error


def _taken(where: str, fields: dict[str, Any], text_field: str) -> object:
    if text_field not in fields:
        there = ", ".join(repr(name) for name in fields) or "none"
        raise InvalidArgumentError(
            f"{where}: there is no field {text_field!r} to take the text from; there are: {there[:500]}. "
            "Say which it is with --text-field (text_field=)"
        )
    return fields.pop(text_field)


@contextmanager
def _large_fields() -> Generator[None]:
    """Let a field of CSV be longer than 128 kB, as a document may be; the module's limit is one for the process."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def _at(where: str) -> Generator[None]:
    try:
        yield
    except InvalidArgumentError as error:
        raise type(error)(str(error) if where in str(error) else f"{where}: {error}") from error


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
