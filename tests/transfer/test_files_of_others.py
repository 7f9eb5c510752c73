"""Files that other programs wrote: names of fields, malformed lines, and nothing lost in silence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.backend.requests import Read
from vectorkit.transfer.files.parquet import arrow
from vectorkit.transfer.lint.values import record_problems

KINDS = ["jsonl", "parquet"]
Row = dict[str, Any]
Write = Callable[..., str]


@pytest.fixture(params=KINDS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes rows into a file, and returns its URL with the options."""

    def written(*rows: Row, options: str = "") -> str:
        path = tmp_path / f"theirs.{request.param}"
        if request.param == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pa = arrow()
            pa.parquet.write_table(pa.Table.from_pylist(list(rows)), path)
        return f"file:{path}?metric=cosine{options}"

    return written


def copied(url: str, **options: Any) -> list[vk.Record]:
    store = vk.MemoryBackend()
    vk.copy(url, store, **options)
    return store.get(store.open_collection("theirs"), Read(include_embeddings=True))


def refused(url: str) -> str:
    store = vk.MemoryBackend()
    with pytest.raises(vk.InvalidArgumentError) as error:
        vk.copy(url, store)
    assert store.list_collections() == []
    return str(error.value)


def jsonl(path: Path, *lines: str | bytes) -> str:
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
    return f"file:{path}?metric=cosine"


GOOD = '{"id":"good","embedding":[1,2]}'


# --- names of fields --------------------------------------------------------------------------------------------


def test_unknown_fields_are_refused_and_named(write: Write) -> None:
    url = write({"id": "1", "embedding": [1.0, 0.0], "title": "T", "year": 2020})
    message = refused(url)
    assert "fields that are not part of a record: 'title', 'year'" in message
    assert "others=metadata" in message
    assert "others=drop" in message
    with pytest.raises(vk.InvalidArgumentError, match="'title', 'year'"):
        vk.lint(url)


@pytest.mark.parametrize(
    ("row", "proposed"),
    [
        ({"id": "1", "values": [1.0, 0.0], "metadata": {"a": 1}}, "embedding=values"),
        ({"id": "1", "vector": [1.0, 0.0], "payload": {"a": 1}}, "embedding=vector&metadata=payload"),
        ({"id": "1", "text": "x", "embedding": [1.0, 0.0]}, "document=text"),
        ({"_id": "1", "page_content": "x", "embedding": [1.0, 0.0]}, "id=_id&document=page_content"),
    ],
)
def test_the_usual_other_names_are_proposed(write: Write, row: Row, proposed: str) -> None:
    message = refused(write(row))
    (options,) = [part for part in message.split() if part.startswith(("id=", "document=", "embedding="))]
    assert sorted(options.rstrip(".").split("&")) == sorted(proposed.split("&"))


def test_fields_are_read_by_the_names_that_are_given(write: Write) -> None:
    rows = [{"key": f"{n}", "values": [1.0, n], "text": f"t{n}", "payload": {"n": n}} for n in range(3)]
    url = write(*rows, options="&id=key&embedding=values&document=text&metadata=payload")
    found = copied(url)
    assert [(each.id, each.document, each.metadata) for each in found] == [
        (f"{n}", f"t{n}", {"n": n}) for n in range(3)
    ]
    assert [np.asarray(each.embedding).tolist() for each in found] == [[1, 0], [1, 1], [1, 2]]
    store = vk.MemoryBackend()
    vk.copy(url, store)
    assert vk.verify(url, store).agrees
    assert vk.lint(url).portable


def test_other_fields_are_kept_as_metadata_or_left_out(write: Write) -> None:
    row = {"id": "1", "embedding": [1.0, 0.0], "metadata": {"a": 1}, "title": "T", "year": 2020}
    (kept,) = copied(write(row, options="&others=metadata"))
    assert kept.metadata == {"a": 1, "title": "T", "year": 2020}
    (left,) = copied(write(row, options="&others=drop"))
    assert left.metadata == {"a": 1}


def test_a_field_that_the_metadata_has_too_is_an_error(write: Write, tmp_path: Path) -> None:
    row = {"id": "1", "embedding": [1.0, 0.0], "metadata": {"title": "a"}, "title": "b"}
    good = {"id": "2", "embedding": [1.0, 0.0], "metadata": {"title": None}, "title": "b"}
    url = write(row, good, options="&others=metadata")
    with pytest.raises(vk.InvalidArgumentError, match=r"(line|row) 1.* both the record and its .*'title'"):
        copied(url)
    aside = tmp_path / "aside.jsonl"
    with pytest.raises(vk.InvalidVectorError, match="none of the 2 records"):
        copied(url, skip_bad=aside)
    assert len(aside.read_text().splitlines()) == 2


def test_a_name_that_no_record_has_is_an_error(write: Write) -> None:
    url = write({"id": "1", "embedding": [1.0, 0.0], "text": "x"}, options="&document=txet&others=drop")
    assert "has no field 'txet'; it has embedding, id, text" in refused(url)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("&others=keep", "others must be refuse, metadata or drop"),
        ("&document=text&embedding=text", "must have a field of its own"),
        ("&document=", "must have a field of its own"),
        ("&metric=l2", "each at most once"),
        ("&documents=text", "the options of a file are metric, id, document, embedding, metadata, others"),
    ],
)
def test_options_that_are_wrong_are_refused(write: Write, options: str, message: str) -> None:
    assert message in refused(write({"id": "1", "embedding": [1.0, 0.0]}, options=options))


# --- malformed lines --------------------------------------------------------------------------------------------

MALFORMED: dict[str, str | bytes] = {
    "not JSON": "{]",
    "cut off": '{"id": "a", "embedding": [1, 2',
    "a list": "[1, 2]",
    "no id": '{"embedding":[1,2]}',
    "a number as id": '{"id":7,"embedding":[1,2]}',
    "an object as vector": '{"id":"a","embedding":{"x":1}}',
    "a string as vector": '{"id":"a","embedding":"12"}',
    "strings as numbers": '{"id":"a","embedding":["1","2"]}',
    "bools as numbers": '{"id":"a","embedding":[true,false]}',
    "null as a number": '{"id":"a","embedding":[1,null]}',
    "lists as numbers": '{"id":"a","embedding":[[1,2]]}',
    "a number beyond a float": f'{{"id":"a","embedding":[1,{10**400}]}}',
    "a number as document": '{"id":"a","document":1,"embedding":[1,2]}',
    "a list as metadata": '{"id":"a","metadata":[],"embedding":[1,2]}',
    "a name twice": '{"id":"a","embedding":[1,2],"metadata":{"k":1,"k":2}}',
    "the id twice": '{"id":"a","id":"b","embedding":[1,2]}',
    "an id that was there": GOOD,
    "deep nesting": '{"id":"a","embedding":[1,2],"metadata":{"a":' + "[" * 10**5 + "]" * 10**5 + "}}",
    "nesting of 500": '{"id":"a","embedding":[1,2],"metadata":{"a":' + "[" * 500 + "]" * 500 + "}}",
    "a huge integer": '{"id":"a","embedding":[1,2],"metadata":{"a":' + "9" * 5000 + "}}",
    "latin-1": b'{"id":"\xe9","embedding":[1,2]}',
    "a byte order mark in the middle": b'\xef\xbb\xbf\xef\xbb\xbf{"id":"a","embedding":[1,2]}',
}
"""Lines that are no records."""

BROKEN: dict[str, str] = {
    "NaN": '{"id":"a","embedding":[NaN,1]}',
    "infinity": '{"id":"a","embedding":[1e400,1]}',
    "NaN in metadata": '{"id":"a","embedding":[1,2],"metadata":{"x":NaN}}',
    "an integer beyond 64 bits": '{"id":"a","embedding":[1,2],"metadata":{"x":18446744073709551616}}',
    "a lone surrogate": '{"id":"a","embedding":[1,2],"document":"\\ud800"}',
    "NUL": '{"id":"a\\u0000","embedding":[1,2]}',
    "an empty id": '{"id":"","embedding":[1,2]}',
    "a zero vector": '{"id":"a","embedding":[0,0]}',
    "another length": '{"id":"a","embedding":[1,2,3]}',
    "no vector": '{"id":"a","document":"x"}',
    "nesting of 40": '{"id":"a","embedding":[1,2],"metadata":{"a":' + "[" * 40 + "]" * 40 + "}}",
}
"""Records that break a rule."""


LATER_ONLY = ("an id that was there", "another length")
CASES = [(why, first) for why in [*MALFORMED, *BROKEN] for first in (False, True) if not (first and why in LATER_ONLY)]


@pytest.mark.parametrize(("why", "first"), CASES)
def test_a_bad_line_is_named_or_put_aside(tmp_path: Path, why: str, first: bool) -> None:
    """2.3, 8.2 Also as the first line, which told before what the whole file was."""
    bad = {**MALFORMED, **BROKEN}[why]
    lines = [bad, GOOD] if first else [GOOD, bad]
    url = jsonl(tmp_path / "theirs.jsonl", *lines, '{"id":"last","embedding":[2,1]}')
    with pytest.raises(vk.VectorKitError, match=r"line [12]\b|record '|\bid\b") as error:
        copied(url)
    assert "--skip-bad FILE" in str(error.value)
    aside = tmp_path / "aside.jsonl"
    store = vk.MemoryBackend()
    for _ in range(2):  # and again, which finds nothing to do
        report = vk.copy(url, store, skip_bad=aside)
        assert not report.complete
        (each,) = report.collections
        assert (each.count, each.skipped) == (2, 1)
    assert [each.id for each in store.get(store.open_collection("theirs"), Read())] == ["good", "last"]
    (line,) = map(json.loads, aside.read_text().splitlines())
    assert line["error"]
    if why in MALFORMED:
        text = bad.decode(errors="surrogateescape") if isinstance(bad, bytes) else bad
        assert (line["place"], line["found"]) == (f"line {1 if first else 2}", text)
        assert vk.verify(url, store).collections[0].differences["malformed"] == 1
    else:
        assert line["id"] == json.loads(bad)["id"]
    assert not vk.lint(url).portable


def test_a_second_header_is_no_record(tmp_path: Path) -> None:
    """As where files of ours were joined: no line is passed over."""
    assert "'vectorkit', 'name'" in refused(jsonl(tmp_path / "theirs.jsonl", GOOD, '{"vectorkit":1,"name":"docs"}'))


def test_rows_of_parquet_that_hold_no_record_are_put_aside(tmp_path: Path) -> None:
    pa = arrow()
    path, aside = tmp_path / "theirs.parquet", tmp_path / "aside.jsonl"
    metadata = ['{"a":1}', "{]", "[1]", '{"a":1,"a":2}', None]
    columns = {"id": [None, "b", "c", "d", "e"], "embedding": [[1.0, 2.0]] * 5, "metadata": metadata}
    pa.parquet.write_table(pa.table(columns), path)
    url = f"file:{path}?metric=cosine"
    with pytest.raises(vk.InvalidIdError, match="row 1: the id must be a string, got None"):
        copied(url)
    store = vk.MemoryBackend()
    report = vk.copy(url, store, skip_bad=aside)
    assert (report.collections[0].count, report.collections[0].skipped) == (1, 4)
    assert [json.loads(line)["place"] for line in aside.read_text().splitlines()] == [
        "row 1",
        "row 2",
        "row 3",
        "row 4",
    ]
    assert json.loads(aside.read_text().splitlines()[0])["found"] == {
        "id": None,
        "metadata": '{"a":1}',
        "embedding": [1.0, 2.0],
    }


@pytest.mark.parametrize("vectors", [[["1", "2"]], [[True, False]], ["[1, 2]"], [[[1.0], [2.0]]], [{"x": 1}]])
def test_a_parquet_column_of_other_things_is_no_vector(tmp_path: Path, vectors: list[Any]) -> None:
    """2.3 Strings and bools are not numbers."""
    pa = arrow()
    pa.parquet.write_table(pa.table({"id": ["a"], "embedding": vectors}), tmp_path / "theirs.parquet")
    with pytest.raises(vk.BackendError, match="column embedding must hold lists of numbers"):
        copied(f"file:{tmp_path}/theirs.parquet?metric=cosine")


def test_what_parquet_has_and_json_has_not_is_refused(tmp_path: Path) -> None:
    from datetime import datetime

    pa = arrow()
    columns = {"id": ["a"], "embedding": [[1.0, 2.0]], "when": [datetime(2020, 1, 1)]}
    pa.parquet.write_table(pa.table(columns), tmp_path / "theirs.parquet")
    with pytest.raises(vk.InvalidMetadataError, match="'when': datetime is not JSON"):
        copied(f"file:{tmp_path}/theirs.parquet?metric=cosine&others=metadata")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pa = arrow()
    arrays = [pa.array(["a"]), pa.array([[1.0]]), pa.array(["x"]), pa.array(["y"])]
    table = pa.table(arrays, names=["id", "embedding", "document", "document"])
    pa.parquet.write_table(table, tmp_path / "theirs.parquet")
    with pytest.raises(vk.BackendError, match="two columns of one name"):
        copied(f"file:{tmp_path}/theirs.parquet?metric=cosine")


def test_byte_order_marks_blank_lines_and_crlf_are_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id":"a","embedding":[1,2]}\r\n\r\n   \n{"id":"b","embedding":[1,2]}\r\n')
    assert [each.id for each in copied(f"file:{path}?metric=cosine")] == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n\r\n"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_bytes(content)
    assert "is empty" in refused(f"file:{path}?metric=cosine")


def test_a_file_in_which_no_record_has_a_vector_is_an_error(write: Write) -> None:
    message = refused(write({"id": "a", "document": "x"}, {"id": "b", "document": "y"}))
    assert "none of the 2 records" in message
    assert "?embedding=NAME" in message
    findings = {each.code for each in vk.lint(write({"id": "a", "document": "x"})).findings}
    assert {"no-dimension", "no-embedding"} <= findings


def test_a_header_that_was_damaged_is_told(tmp_path: Path) -> None:
    store = vk.MemoryBackend()
    info = store.create_collection(vk.CollectionSpec("docs", "l2", 2))
    store.add(info, [vk.Batch(["a"], [None], np.ones((1, 2), dtype=np.float32), [{}])])
    path = tmp_path / "docs.jsonl"
    vk.copy(store, f"file:{path}")
    path.write_bytes(path.read_bytes()[5:])
    with pytest.raises(vk.InvalidArgumentError, match="does not say by what metric"):
        vk.copy(f"file:{path}", vk.MemoryBackend())
    with pytest.raises(vk.BackendError, match="line 1 is not JSON"):
        vk.copy(f"file:{path}?metric=l2", vk.MemoryBackend())


def test_the_values_of_broken_records_are_what_lint_finds() -> None:
    """Deep values are looked at no deeper than the rules go."""
    deep: Any = []
    for _ in range(90):
        deep = [deep]
    assert record_problems(vk.Record("a", metadata={"a": deep})).keys() == {"size", "nested"}
