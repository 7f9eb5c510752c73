"""`vectorkit compare`: exit codes, what it prints, and the page it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import Result

import vectorkit as vk
from vectorkit.embedders import HashEmbedder

Run = Callable[..., Result]

TEXTS = [
    "Networks learn by gradient descent.",
    "Bread needs yeast, and time.",
    "Error E4021: the [bold]disk[/] is full.",
]


@pytest.fixture
def urls(url: str, tmp_path: Path) -> tuple[str, str]:
    """Two stores that hold the same."""
    both = f"chroma:{tmp_path / 'other'}", url
    for each in both:
        with vk.connect(each) as store:
            docs = store.create_collection("docs", embedder=HashEmbedder(64), text_index=True)
            docs.add(ids=["a", "b", "[c]"], documents=TEXTS, metadatas=[{"year": 2020 + at} for at in range(3)])
    return both


@pytest.fixture
def queries(tmp_path: Path) -> str:
    file = tmp_path / "queries.txt"
    file.write_text('how networks learn\n{"query": "full disk", "where": {"year": {"$gte": 2021}}}\n')
    return str(file)


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_stores_that_agree_give_exit_code_0(urls: tuple[str, str], queries: str, run: Run, mode: str) -> None:
    done = run("compare", *urls, "--queries", queries, "--mode", mode, "--where", '{"year": {"$lt": 2030}}', "-k", "2")
    assert done.exit_code == 0, done.output
    assert "agree in 2 queries" in done.stdout
    assert "how networks learn" in done.stdout
    assert "[c] Error E4021: the [bold]disk[/] is full." in done.stdout
    assert "milliseconds a search" in done.stdout
    assert done.stderr == ""


def test_stores_that_differ_give_exit_code_1_and_say_where(
    urls: tuple[str, str], queries: str, run: Run, tmp_path: Path
) -> None:
    """The page is written all the same."""
    with vk.connect(urls[1]) as store:
        store.get_collection("docs").delete(["a"])
    page = tmp_path / "report.html"
    done = run("compare", *urls, "--queries", queries, "--collection", "docs", "--html", str(page))
    assert done.exit_code == 1, done.output
    assert "differ in 1 of 2 queries" in done.stdout
    assert "'a' is found in A alone" in done.stdout
    assert f"written: {page}" in done.stdout
    assert "&#x27;a&#x27; is found in A alone" in page.read_text(encoding="utf-8")


def test_json_holds_all_of_it(urls: tuple[str, str], queries: str, run_json: Callable[..., Any]) -> None:
    found = run_json("compare", *urls, "--queries", queries, "--k", "3")
    assert (found["agrees"], found["overlap"], found["k"], found["collection"]) == (True, 1.0, 3, "docs")
    assert [query["query"] for query in found["queries"]] == ["how networks learn", "full disk"]
    first = found["queries"][0]["first"]
    assert first["hits"][0]["id"] == "a"
    assert first["hits"][0]["metadata"] == {"year": 2020}
    assert first["milliseconds"] > 0
    assert set(found["milliseconds"]) == {"first", "second"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--collection", "gone"], "gone"),
        (["--where", "{"], "--where is no JSON"),
        (["--html", "{tmp}/no/folder/report.html"], "cannot be written"),
        (["--queries", "{tmp}/empty"], "holds no query"),
    ],
)
def test_a_mistake_is_a_line_and_exit_code_2(
    urls: tuple[str, str], queries: str, run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """8.3 No traceback."""
    (tmp_path / "empty").write_text("\n")
    done = run("compare", *urls, "--queries", queries, *(each.replace("{tmp}", str(tmp_path)) for each in arguments))
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_store_that_is_not_there_is_not_made(queries: str, run: Run, tmp_path: Path) -> None:
    done = run("compare", f"chroma:{tmp_path / 'gone'}", "memory:", "--queries", queries)
    assert done.exit_code == 2
    assert "there is no store at" in done.stderr
    assert not (tmp_path / "gone").exists()


def test_passwords_are_shown_nowhere(
    urls: tuple[str, str], queries: str, tmp_path: Path, run_process: Callable[..., Any]
) -> None:
    """8.3 Nor in the page, nor that of a store within a mirror."""
    port = "postgresql://me:secret@127.0.0.1:1/db?connect_timeout=1"
    mirror = f"mirror:?primary={quote(port, safe='')}&secondary=memory:&journal={tmp_path / 'journal'}"
    for other in (port, mirror):
        done = run_process("compare", urls[0], other, "--queries", queries)
        assert done.returncode == 2, done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_help_teaches_with_an_example(run: Run) -> None:
    done = run("compare", "--help")
    assert done.exit_code == 0
    assert "--html report.html" in done.stdout
    assert json.dumps({"query": "a text"}) in done.stdout
