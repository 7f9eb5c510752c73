"""The page for backend authors says the truth: after each of its steps, the tests it names pass, and not before."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "BACKENDS.md").read_text(encoding="utf-8")
STEPS = re.findall(r'^\| (\d) \| (.+?) \| `pytest(?: -k "(.+)")?` \|$', PAGE, re.MULTILINE)
WRITTEN = [
    [name for _, methods, _ in STEPS[: step + 1] for name in re.findall(r"`(\w+)`", methods)]
    for step in range(len(STEPS))
]
METHODS = [
    *("create_collection", "open_collection", "drop_collection"),
    *("add", "upsert", "get", "count", "scan", "delete", "update", "search"),
]

SUITES = """
import functools
import pytest
from vectorkit import MemoryBackend
from vectorkit.filters import Filter
from vectorkit.testing import BackendConformance

def unfinished(written):
    def method(name):
        finished = getattr(MemoryBackend, name)

        @functools.wraps(finished)
        def call(self, *arguments, **named):
            asked = [*arguments, *named.values()]
            filtered = any(isinstance(each, Filter) or getattr(each, "where", None) is not None for each in asked)
            if name not in written or (filtered and "where" not in written):
                raise NotImplementedError(name)
            return finished(self, *arguments, **named)

        return call

    return type("Unfinished", (MemoryBackend,), {{name: method(name) for name in {methods}}})

def suite_of(backend):
    class Suite(BackendConformance):
        @pytest.fixture
        def make_backend(self):
            return backend
    return Suite

for step, written in enumerate({written}):
    globals()[f"TestAfter{{step}}"] = suite_of(unfinished(written))
"""


def test_the_steps_name_every_method_of_the_protocol() -> None:
    assert [int(step) for step, _, _ in STEPS] == list(range(8))
    assert set(METHODS) <= set(WRITTEN[6])
    assert "where" not in WRITTEN[5]


def test_the_tests_that_a_step_names_pass_after_it_and_not_before(pytester: pytest.Pytester) -> None:
    named = [expression.split(" or ") for _, _, expression in STEPS[:7]]
    file = pytester.makepyfile(SUITES.format(methods=METHODS, written=WRITTEN[:7]))
    chosen = " or ".join(name for names in named for name in names)
    result = pytester.runpytest_inprocess("-q", "-rA", "--tb=no", "-p", "no:cacheprovider", "-k", chosen, file)
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S+::TestAfter(\d)::(\w+)", "\n".join(result.outlines), re.MULTILINE)
    for step, names in enumerate(named):
        for name in names:
            after = [outcome for outcome, at, test in found if name in test and int(at) == step]
            before = [outcome for outcome, at, test in found if name in test and int(at) == step - 1]
            assert set(after) == {"PASSED"}, (step, name)
            assert "PASSED" not in before, (step, name)
            assert len(before) == (len(after) if step else 0)
