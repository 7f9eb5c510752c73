"""`vectorkit ingest`: from files to passages to records; and the whole way, on Chroma and on Postgres."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import vectorkit as vk
from vectorkit.embedders import HashEmbedder, OpenAIEmbedder
from vectorkit.errors import InvalidArgumentError, InvalidMetadataError
from vectorkit.passages import find_files, read_passages

Run = Callable[..., Result]

DOCS = Path(__file__).parents[2] / "docs"

GUIDE = """Before any heading.

# Install

## Linux

Take the package.\u2028It is one line to the reader.

```
# no heading, but a comment
```

## macOS

Take the other one.

Use
===

> # quoted, no section

Call it.
"""


@pytest.fixture
def docs_url(tmp_path: Path) -> str:
    """A store with an empty collection `docs` that needs no model."""
    url = f"chroma:{tmp_path / 'store'}"
    with vk.connect(url) as store:
        store.create_collection("docs", embedder=HashEmbedder(32))
    return url


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def stored(url: str) -> list[vk.Record]:
    with vk.connect(url) as store:
        return store.get_collection("docs").get()


def test_answers_are_the_same_on_chroma_and_on_postgres(
    tmp_path: Path, database_url: str, run: Run, run_json: Callable[..., Any]
) -> None:
    """The whole way with a real model: this library's own documentation, ingested twice, asked twice."""
    answers: list[list[Any]] = []
    for url in (f"chroma:{tmp_path / 'store'}", database_url):
        files = [str(file) for file in sorted(DOCS.glob("*.md"))]
        done = run("ingest", url, "docs", *files, "--chunk-size", "400", "--json")
        assert done.exit_code == 0, done.stderr
        totals = json.loads(done.stdout)
        assert totals["files"] == len(files) >= 3
        passages = list(read_passages([Path(file) for file in files], chunk_size=400))
        distinct = {(passage.document, str(passage.metadata)) for passage in passages}  # their ids are by content
        assert totals["read"] == len(passages)
        assert totals["embedded"] == totals["written"] == totals["stored"] == len(distinct) > 30
        again = run_json("ingest", url, "docs", *files, "--chunk-size", "400")
        assert (again["read"], again["written"], again["stored"]) == (totals["read"], 0, totals["stored"])
        answers.append(
            [
                run_json("search", url, "docs", "What happens to metadata when a record is replaced?", "--mode", mode)
                for mode in ("vector", "text", "hybrid")
            ]
        )
    for ours, theirs in zip(*answers, strict=True):
        assert [hit["id"] for hit in ours] == [hit["id"] for hit in theirs]
        assert [hit["score"] for hit in ours] == pytest.approx([hit["score"] for hit in theirs], abs=1e-5)
        assert [hit["document"] for hit in ours] == [hit["document"] for hit in theirs]
        assert len(ours) == 10
    assert "Metadata is replaced" in answers[0][0][0]["document"]
    assert answers[0][0][0]["metadata"]["heading"].startswith("The semantic contract > ")


def test_folders_are_read_whole_and_other_files_are_named(docs_url: str, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "notes"
    write(folder, "a.md", "# A\n\nFirst.")
    write(folder, "deep/er/b.TXT", "Second.")
    write(folder, ".hidden/c.md", "Third.")
    write(folder, "image.png", b"\x89PNG")
    done = run("ingest", docs_url, "docs", str(folder))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("2 file(s), 2 passage(s): 2 written, 0 there already, in ")
    assert "docs now holds 2\n1 file(s) passed over: .png\n" in done.stdout
    assert {str(record.metadata["source"]) for record in stored(docs_url)} == {
        (folder / "a.md").as_posix(),
        (folder / "deep/er/b.TXT").as_posix(),
    }


def test_only_what_is_new_is_stored_again(docs_url: str, tmp_path: Path, run_json: Callable[..., Any]) -> None:
    file = write(tmp_path, "a.txt", "One sentence here.\n\nAnother sentence there.")
    first = run_json("ingest", docs_url, "docs", str(file), "--chunk-size", "24")
    assert (first["read"], first["written"]) == (2, 2)
    write(tmp_path, "a.txt", "One sentence here.\n\nAnother sentence there.\n\nA third one.")
    second = run_json("ingest", docs_url, "docs", str(file), "--chunk-size", "24")
    assert (second["read"], second["unchanged"], second["embedded"], second["written"]) == (3, 2, 1, 1)
    assert second["stored"] == 3


def test_markdown_is_cut_between_sections_and_passages_know_their_headings(tmp_path: Path) -> None:
    file = write(tmp_path, "guide.md", GUIDE)
    passages = list(read_passages([file], chunk_size=60))
    found = [(passage.document or "", passage.metadata.get("heading")) for passage in passages]
    assert [text.splitlines()[0] for text, _ in found][:2] == ["Before any heading.", "# Install"]
    words = ("Before", "package", "other", "Call")
    by_text = {word: heading for text, heading in found for word in words if word in text}
    assert by_text["Before"] is None
    assert by_text["package"] in ("Install", "Install > Linux")
    assert by_text["other"] == "Install > macOS"
    assert by_text["Call"] == "Use"
    assert all(len(text) <= 60 for text, _ in found)


def test_lines_end_in_either_way(tmp_path: Path) -> None:
    """The same passages, and so the same ids, of a file from Windows, with its mark of UTF-8."""
    unix = list(read_passages([write(tmp_path / "u", "guide.md", GUIDE)], chunk_size=60))
    windows = write(tmp_path / "w", "guide.md", b"\xef\xbb\xbf" + GUIDE.replace("\n", "\r\n").encode())
    assert [(each.document, each.metadata.get("heading")) for each in unix] == [
        (each.document, each.metadata.get("heading")) for each in read_passages([windows], chunk_size=60)
    ]


def test_fields_of_json_lines_are_metadata_with_their_types(docs_url: str, tmp_path: Path, run: Run) -> None:
    rows = [
        {"body": "First.", "year": 2020, "tags": ["a"], "source": "mine"},
        {"body": " ".join(f"Second {n}." for n in range(20)), "year": 1.5},
    ]
    file = write(tmp_path, "rows.jsonl", "".join(json.dumps(row) + "\n\n" for row in rows))
    done = run("ingest", docs_url, "docs", str(file), "--text-field", "body", "--chunk-size", "100")
    assert done.exit_code == 0, done.stderr
    records = sorted(stored(docs_url), key=lambda record: -len(record.metadata))
    assert records[0].metadata == {"year": 2020, "tags": ["a"], "source": "mine"}
    assert len(records) > 1
    assert all(record.metadata["year"] == 1.5 for record in records[1:])
    assert all(record.metadata["source"] == file.as_posix() for record in records[1:])


def test_columns_of_csv_are_metadata(tmp_path: Path) -> None:
    long = "long " * 40_000  # beyond the csv module's own limit of a field
    file = write(
        tmp_path, "rows.csv", f'id,text,note\r\n007,"Say ""hello"",\nworld",\r\n8,{long},x\r\n\r\n9,  ,blank\r\n'
    )
    passages = list(read_passages([file], chunk_size=1_000_000))
    assert passages[0].document == 'Say "hello",\nworld'
    assert passages[0].metadata == {"id": "007", "note": "", "source": file.as_posix()}
    assert passages[1].document == long.strip()
    assert len(passages) == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n{"body": "b"}\n',
            r"a.jsonl, line 2: there is no field 'text' .*'body'",
        ),
        ("a.jsonl", '{"text": "a"}\n\n{"text": \n', r"a.jsonl, line 3 is not JSON"),
        ("a.jsonl", "[1]\n", r"a.jsonl, line 1: expected a JSON object, not \[1\]"),
        ("a.jsonl", '{"text": null}\n', r"a.jsonl, line 1: 'text' is the text, and so a string, not None"),
        ("a.jsonl", '{"text": "a", "$b": 1}\n', r"a.jsonl, line 1"),
        ("a.jsonl", '{"text": "a", "n": NaN}\n', r"a.jsonl, line 1"),
        ("a.csv", "id,title\n1,a\n", r"a.csv, line 1: there is no field 'text' .*'id', 'title'"),
        ("a.csv", "text,id\na,1,2\n", r"a.csv, line 2: 3 fields, where the first row has 2"),
        ("a.csv", "text,text\na,1\n", r"a.csv, line 1: the first row should name each column, once"),
        ("a.csv", 'text\n"a" b\n', r"a.csv, line 2: no CSV"),
        ("a.txt", b"\xff\xfe", r"a.txt is not UTF-8 text"),
        ("a.txt", "a\0b", r"a.txt: .*NUL"),
    ],
)
def test_a_malformed_file_is_named_with_the_line(
    docs_url: str, tmp_path: Path, run: Run, name: str, text: str | bytes, said: str
) -> None:
    """Exit code 2, one line that says what is wrong; before anything is embedded, of this file or of others."""
    before = write(tmp_path, "0.txt", "All right.")
    file = write(tmp_path, name, text)
    with pytest.raises((InvalidArgumentError, InvalidMetadataError), match=said):
        list(read_passages([file]))
    done = run("ingest", docs_url, "docs", str(before), str(file))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert stored(docs_url) == []


def test_a_path_that_is_not_there_is_a_mistake_before_anything_is_opened(tmp_path: Path, run: Run) -> None:
    url = f"chroma:{tmp_path / 'store'}"
    (tmp_path / "empty").mkdir()
    for path, said in (("nowhere", "there is no file or folder"), ("empty", "there is nothing to read")):
        done = run("ingest", url, "docs", str(tmp_path / path))
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr
    assert not (tmp_path / "store").exists()


def test_a_file_that_is_named_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    licence = write(tmp_path, "LICENCE", "Do as you like.")
    assert find_files([licence, licence]).files == [licence]
    (passage,) = read_passages([licence])
    assert passage.document == "Do as you like."


def test_a_text_index_is_made_unless_it_is_not_wanted(tmp_path: Path, run: Run, docs_url: str) -> None:
    file = str(write(tmp_path, "a.txt", "Some words."))

    def has_text_index() -> bool:
        with vk.connect(docs_url) as store:
            return store.get_collection("docs").info().spec.text_index

    assert run("ingest", docs_url, "docs", file).exit_code == 0
    assert not has_text_index()  # a collection that exists stays as it is
    assert run("ingest", docs_url, "docs", file, "--text-index").exit_code == 0
    assert has_text_index()
    done = run("ingest", docs_url, "docs", file, "--no-text-index")
    assert (done.exit_code, "has a text index, which stays" in done.stderr) == (2, True)


def test_another_model_than_the_collections_is_refused(docs_url: str, tmp_path: Path, run: Run) -> None:
    file = str(write(tmp_path, "a.txt", "Some words."))
    done = run("ingest", docs_url, "docs", file, "--model", "all-MiniLM-L6-v2")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "was created with embedder 'words-and-trigrams-1'" in done.stderr
    assert stored(docs_url) == []


def test_what_stays_after_an_error_is_said(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    url = f"chroma:{tmp_path / 'store'}"
    with vk.connect(url) as store:
        store.create_collection("docs", embedder=OpenAIEmbedder("text-embedding-3-small"))
    done = run("ingest", url, "docs", str(write(tmp_path, "a.txt", "Some words.")))
    assert (done.exit_code, done.stdout) == (2, "")
    error, note = done.stderr.splitlines()
    assert "OPENAI_API_KEY" in error
    assert note.startswith("of 1 records read 0 were written to collection 'docs'")


def test_passages_around_an_edit_keep_their_ids(docs_url: str, tmp_path: Path, run_json: Callable[..., Any]) -> None:
    """Neither their number in the file nor how its path is written is part of an id by content."""
    parts = [f"## Part {n}\n\n" + f"Step {n}: turn the valve number {n} slowly, and wait. " * 14 for n in range(8)]
    file = write(tmp_path, "guide.md", "# Guide\n\n" + "\n\n".join(parts))
    first = run_json("ingest", docs_url, "docs", str(file))
    assert (first["written"], first["stored"]) == (8, 8)
    write(tmp_path, "guide.md", "# Guide\n\n" + "A preface that is new. " * 40 + "\n\n" + "\n\n".join(parts))
    second = run_json("ingest", docs_url, "docs", str(file))
    assert (second["unchanged"], second["embedded"]) == (7, second["read"] - 7)
    third = run_json("ingest", docs_url, "docs", str(file), "--prune")
    assert (third["written"], third["pruned"]) == (0, 1)
    assert third["stored"] == third["read"] == second["read"]


@pytest.mark.parametrize("spelling", ["{0}/docs", "{0}/docs/", "./docs", "docs/../docs", "docs/a.md", "{0}/link"])
def test_a_path_is_the_same_source_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "docs/a.md", "Some words.")
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    path = spelling.format(tmp_path)
    (passage,) = read_passages(find_files([path, "docs"]).files)
    assert passage.metadata == {"source": "docs/a.md"}
    monkeypatch.chdir(tmp_path / "link")
    (outside,) = read_passages([write(tmp_path, "b.md", "Some words.")])
    assert outside.metadata == {"source": (tmp_path / "b.md").as_posix()}


def test_what_is_gone_from_the_files_that_were_read_is_pruned(docs_url: str, tmp_path: Path, run: Run) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        write(tmp_path, f"notes/{name}", f"Words of {name}.")
    rows = write(tmp_path, "notes/rows.jsonl", '{"text":"one","source":"web"}\n{"text":"two","source":"web"}\n')
    assert run("ingest", docs_url, "docs", str(tmp_path / "notes")).exit_code == 0
    write(tmp_path, "notes/a.txt", "Other words.")
    write(tmp_path, "notes/b.txt", "")
    (tmp_path / "notes" / "c.txt").unlink()
    rows.write_text('{"text":"two","source":"web"}\n')
    done = run("ingest", docs_url, "docs", str(tmp_path / "notes"), "--prune")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "2 passage(s): 1 written, 1 there already, 3 pruned, in " in done.stdout
    assert sorted(str(each.document) for each in stored(docs_url)) == ["Other words.", "Words of c.txt.", "two"]


def test_bad_files_and_lines_are_named_counted_and_passed_over(docs_url: str, tmp_path: Path, run: Run) -> None:
    """One of each kind of fault; what is good beside them is stored, and nothing of a bad file is pruned."""
    folder = tmp_path / "notes"
    write(folder, "good.txt", "All right.")
    write(folder, "rows.jsonl", '{"text": "first"}\n{"text": "second"}\n')
    assert run("ingest", docs_url, "docs", str(folder)).exit_code == 0
    write(folder, "latin.txt", "caf\xe9".encode("latin-1"))
    write(folder, "wide.md", "Words.".encode("utf-16"))
    write(folder, "latin.jsonl", b'{"text": "good"}\n{"text": "\xe9"}\n')
    write(folder, "nul.txt", "a\0b")
    write(folder, "german.csv", "text;note\na;b\n")
    write(folder, "open.csv", 'text\nclosed\n"open\nand on\n')
    write(folder, "long.csv", "text,note\na,b\na,b,c\nd,e\n")
    write(folder, "rows.jsonl", '{"text": "first"}\n{"text": 2}\n{"text": "x", "text": "y"}\n' + "[" * 10**5 + "\n")
    first = run("ingest", docs_url, "docs", str(folder))
    assert (first.exit_code, first.stdout) == (2, "")
    done = run("ingest", docs_url, "docs", str(folder), "--skip-bad", "--prune", "--json")
    assert done.exit_code == 1
    totals = json.loads(done.stdout)
    named = [message.removeprefix(str(folder)) for message in totals["skipped"]]
    told = [
        ("/german.csv, line 1", "';' separates the columns, say so with --delimiter"),
        ("/latin.jsonl", "is not UTF-8 text: invalid continuation byte at byte 27; say how it is encoded"),
        ("/latin.txt", "is not UTF-8 text"),
        ("/long.csv, line 3", "3 fields, where the first row has 2"),
        ("/nul.txt", "NUL"),
        ("/open.csv, line 4", "no CSV from there on"),
        ("/rows.jsonl, line 2", "'text' is the text"),
        ("/rows.jsonl, line 3", "the name 'text' stands twice"),
        ("/rows.jsonl, line 4", "nested deeper"),
        ("/wide.md", "is not UTF-8 text"),
    ]
    assert len(named) == len(told)
    for message, (where, what) in zip(named, told, strict=True):
        assert message.startswith(where)
        assert what in message
    assert totals["pruned"] == 0
    assert sorted(str(each.document) for each in stored(docs_url)) == [
        "All right.",
        "a",
        "closed",
        "d",
        "first",
        "second",
    ]
    again = run("ingest", docs_url, "docs", str(folder), "--skip-bad")
    assert again.exit_code == 1
    assert again.stderr.count("skipped: ") == len(told)
    assert "10 file(s), line(s) or row(s) skipped" in again.stdout


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("latin-1", "text;note\ncafé;ü\n".encode("latin-1")),
        ("utf-16", "text;note\ncafé;ü\n".encode("utf-16")),
        ("UTF8", "text;note\ncafé;ü\n".encode("utf-8-sig")),
        ("cp1252", "text;note\r\ncafé;ü\r\n".encode("cp1252")),
    ],
)
def test_encoding_and_delimiter_can_be_said(
    docs_url: str, tmp_path: Path, run: Run, encoding: str, content: bytes
) -> None:
    file = write(tmp_path, "rows.csv", content)
    done = run("ingest", docs_url, "docs", str(file), "--encoding", encoding, "--delimiter", ";")
    assert (done.exit_code, done.stderr) == (0, "")
    (record,) = stored(docs_url)
    assert (record.document, record.metadata["note"]) == ("café", "ü")


def test_a_tab_can_be_the_delimiter(docs_url: str, tmp_path: Path, run: Run) -> None:
    file = write(tmp_path, "rows.csv", "text\tnote\na,b\tc\n")
    assert run("ingest", docs_url, "docs", str(file), "--delimiter", r"\t").exit_code == 0
    assert [each.document for each in stored(docs_url)] == ["a,b"]


@pytest.mark.parametrize("wrong", [{"encoding": "utf-99"}, {"encoding": "hex"}, {"encoding": 8}, {"delimiter": ""}])
def test_an_encoding_or_delimiter_that_is_none_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    file = write(tmp_path, "rows.csv", "text\na\n")
    with pytest.raises(InvalidArgumentError, match=r"(encoding|delimiter) must be"):
        list(read_passages([file], **wrong))
    for delimiter in ("ab", '"', "\n", None):
        with pytest.raises(InvalidArgumentError, match="delimiter must be one character"):
            list(read_passages([file], delimiter=delimiter))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
