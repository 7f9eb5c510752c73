"""The texts of files: plain text and Markdown whole, JSON lines and CSV line by line, each with its other fields."""

import codecs
import csv
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict
from vectorkit.errors import InvalidArgumentError
from vectorkit.types import Json
from vectorkit.validation import short

__all__ = ["KNOWN", "MARKDOWN", "Reading", "Text", "texts_of"]

MARKDOWN: Final = (".md", ".markdown")
_TEXT: Final = (".txt", ".text")
_LINES: Final = (".jsonl", ".ndjson")
_CSV: Final = (".csv",)
KNOWN: Final = (*_TEXT, *MARKDOWN, *_LINES, *_CSV)
"""How the names of the files end that are read."""

_CHUNK: Final = 1 << 20  # bytes
_OTHER_DELIMITERS: Final = (";", "\t", "|")


class Text(NamedTuple):
    """A text of a file.

    Attributes:
        where: In which file and line, for messages.
        text: The text.
        fields: The other fields of its line or row.
    """

    where: str
    text: str
    fields: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read.

    Attributes:
        text_field: The field of JSON lines, and the column of CSV, that holds the text.
        encoding: The encoding of the characters, as Python calls it.
        delimiter: What separates the columns of CSV.
    """

    text_field: str
    encoding: str
    delimiter: str

    @classmethod
    def checked(cls, text_field: str, encoding: object, delimiter: object) -> "Reading":
        """How to read, or raise `InvalidArgumentError`."""
        try:
            if not isinstance(encoding, str):
                raise LookupError
            "".encode(encoding)  # that it is one of characters, not of bytes
            name = codecs.lookup(encoding).name
        except (LookupError, ValueError):
            raise InvalidArgumentError(
                f"encoding must be the name of one that Python knows, such as utf-8, latin-1 or utf-16, got "
                f"{short(encoding)}"
            ) from None
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise InvalidArgumentError(
                f"delimiter must be one character, such as ',' or ';', and no quote or line break, got "
                f"{short(delimiter)}"
            )
        return cls(text_field, "utf-8-sig" if name == "utf-8" else name, delimiter)


def texts_of(file: Path, reading: Reading) -> Iterator[Text | InvalidArgumentError]:
    """The texts of a file, and what is wrong with it in the place where a text should be.

    How it is read depends on how its name ends. Behind a line or row that is malformed the others follow; nothing does
    if the file as a whole cannot be read, or from a place on: it is in another encoding, its first row does not name
    the columns, a quote is not closed.
    """
    try:
        yield from _texts(file, reading)
    except InvalidArgumentError as error:
        yield error


def _texts(file: Path, reading: Reading) -> Iterator[Text | InvalidArgumentError]:
    suffix = file.suffix.lower()
    try:
        if suffix in _LINES + _CSV:
            _check_encoding(file, reading.encoding)
        with file.open(encoding=reading.encoding, newline="" if suffix in _CSV else None) as lines:
            if suffix in _LINES:
                yield from _json_lines(file, lines, reading.text_field)
            elif suffix in _CSV:
                yield from _csv_rows(file, lines, reading)
            else:
                yield Text(str(file), lines.read(), {})
    except UnicodeError as error:
        what = "UTF-8" if reading.encoding == "utf-8-sig" else reading.encoding
        place = f" at byte {error.start:,}" if isinstance(error, UnicodeDecodeError) else ""
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        raise InvalidArgumentError(
            f"{file} is not {what} text: {reason}{place}; say how it is encoded, as with --encoding latin-1 (encoding=)"
        ) from error
    except OSError as error:
        raise InvalidArgumentError(f"{file} cannot be read: {error.strerror}") from error


def _check_encoding(file: Path, encoding: str) -> None:
    """Decode all of a file that is read line by line, so that none of its lines is taken if it is in another one."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with file.open("rb") as content:
        before = 0
        while chunk := content.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                error.start += before
                raise
            before += len(chunk)
        decoder.decode(b"", final=True)


def _json_lines(file: Path, lines: Iterable[str], text_field: str) -> Iterator[Text | InvalidArgumentError]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            found: Text | InvalidArgumentError = _json_line(f"{file}, line {number:,}", line, text_field)
        except InvalidArgumentError as error:
            found = error
        yield found


def _json_line(where: str, line: str, text_field: str) -> Text:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InvalidArgumentError(f"{where} is not JSON: {error}") from error
    if not is_dict(row):
        raise InvalidArgumentError(f"{where}: expected a JSON object, not {short(row)}")
    fields: dict[str, Any] = {str(key): value for key, value in row.items()}
    _check_field(where, fields, text_field)
    text = fields.pop(text_field)
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{where}: {text_field!r} is the text, and so a string, not {short(text)}")
    return Text(where, text, fields)


def _csv_rows(file: Path, lines: Iterable[str], reading: Reading) -> Iterator[Text | InvalidArgumentError]:
    with _large_fields():
        rows = csv.reader(lines, strict=True, delimiter=reading.delimiter)
        try:
            names = next(rows, list[str]())
            if not names:
                return
            where = f"{file}, line 1"
            if len(set(names)) < len(names) or "" in names:
                raise InvalidArgumentError(f"{where}: the first row should name each column, once: {short(names, 200)}")
            _check_field(where, names, reading.text_field)
            for row in rows:
                where = f"{file}, line {rows.line_num:,}"
                if len(row) == len(names):
                    fields: dict[str, Json] = dict(zip(names, row, strict=True))
                    yield Text(where, str(fields.pop(reading.text_field)), fields)
                elif row:
                    yield InvalidArgumentError(
                        f"{where}: {len(row):,} fields, where the first row has {len(names):,}; if they hold "
                        f"{reading.delimiter!r}, put them in double quotes"
                    )
        except csv.Error as error:
            raise InvalidArgumentError(f"{file}, line {rows.line_num:,}: no CSV from there on: {error}") from error


def _check_field(where: str, fields: Iterable[str], text_field: str) -> None:
    names = list(fields)
    if text_field in names:
        return
    there = ", ".join(map(repr, names)) or "none"
    hint = "Say which it is with --text-field (text_field=)"
    if len(names) == 1 and (found := [mark for mark in _OTHER_DELIMITERS if mark in names[0]]):
        hint = f"If {found[0]!r} separates the columns, say so with --delimiter (delimiter=)"
    raise InvalidArgumentError(
        f"{where}: there is no field {text_field!r} to take the text from; there are: {there[:500]}. {hint}"
    )


@contextmanager
def _large_fields() -> Generator[None]:
    """Let a field of CSV be longer than 128 kB, as a document may be; the module's limit is one for the process."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
