"""`vectorkit recall`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

import vectorkit as vk

Run = Callable[..., Result]


def test_it_measures_what_the_library_measures_and_judges_it(
    database_url: str, run: Run, run_json: Callable[..., Any]
) -> None:
    """A lean index on vectors in all directions misses some; exit code 1 if that is more than was allowed."""
    with vk.connect(database_url) as store:
        vectors = np.random.default_rng(0).standard_normal((2500, 64))
        docs = store.create_collection("docs", dimension=64, index=vk.HNSW(m=2, ef_construction=4, ef_search=1))
        docs.add(ids=[f"{number:04}" for number in range(2500)], embeddings=vectors)
        expected = docs.recall(5, 20)
    found = run_json("recall", database_url, "docs", "-k", "5", "--sample", "20")
    assert (found["k"], found["queries"]) == (5, 20)
    assert found["mean"] == pytest.approx(expected.mean)
    assert found["mean"] < 0.9
    assert len(found["shares"]) == 20
    done = run("recall", database_url, "docs", "-k", "5", "--sample", "20", "--at-least", "0.9")
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{expected}\nbelow 0.9: ")
    assert run("recall", database_url, "docs", "-k", "5", "--sample", "20", "--at-least", "0").exit_code == 0


def test_an_exact_search_misses_nothing(url: str, run: Run) -> None:
    with vk.connect(url) as store:
        docs = store.create_collection("docs", dimension=8)
        docs.add(ids=[str(n) for n in range(300)], embeddings=np.random.default_rng(0).standard_normal((300, 8)))
        store.create_collection("empty", dimension=8)
    done = run("recall", url, "docs", "--sample", "20", "--at-least", "1")
    assert (done.exit_code, done.stdout) == (0, "recall@10 1.0000 over 20 queries, 1.00 at the lowest\n")
    done = run("recall", url, "empty")
    assert (done.exit_code, "nothing to measure recall with" in done.stderr) == (2, True)
