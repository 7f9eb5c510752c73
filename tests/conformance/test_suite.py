"""The suite as a class to subclass: what it refuses, what it expects to fail, and that it leaves nothing out."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook

from vectorkit.filters import matches, parse, parse_document
from vectorkit.testing import BackendConformance
from vectorkit.testing._logic_cases import DOCUMENTS, LOGIC
from vectorkit.testing._tables import Table
from vectorkit.testing._text_cases import KEYS, PAYLOADS, STRINGS
from vectorkit.testing._value_cases import LISTS, NUMBERS, TYPES

pytest_plugins = ["pytester"]

TESTING = Path(sys.modules[BackendConformance.__module__].__file__ or "").parent
TABLES = {
    "types": TYPES,
    "numbers": NUMBERS,
    "lists": LISTS,
    "strings": STRINGS,
    "keys": KEYS,
    "payloads": PAYLOADS,
    "logic": LOGIC,
    "documents": DOCUMENTS,
}

SUITE = """
import pytest
from vectorkit import MemoryBackend
from vectorkit.testing import BackendConformance
from vectorkit.testing.faults import ranking

class TestStore(BackendConformance):
    deviations = {deviations}

    @pytest.fixture
    def make_backend(self):
        return {backend}
"""


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_the_reference_evaluator_agrees_with_the_truth_tables(table: Table) -> None:
    for case in table.cases:
        where, where_document = parse(case.where), parse_document(case.where_document)
        found = [
            id
            for id in sorted(table.metadatas)
            if matches(where, table.documents.get(id), table.metadatas[id])
            and matches(where_document, table.documents.get(id), table.metadatas[id])
        ]
        assert found == table.matching(case), case


def test_redefining_a_test_of_the_suite_is_refused() -> None:
    with pytest.raises(TypeError, match="test_k_is_how_many_come_back"):

        class Accident(BackendConformance):  # pyright: ignore[reportUnusedClass]
            def test_k_is_how_many_come_back(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
                pass


def test_a_test_of_ones_own_is_welcome() -> None:
    class Welcome(BackendConformance):
        def test_something_else(self) -> None:
            pass

    assert hasattr(Welcome, "test_k_is_how_many_come_back")


def test_a_deviation_that_names_no_test_is_refused() -> None:
    with pytest.raises(TypeError, match="test_that_is_not_there"):

        class Typo(BackendConformance):  # pyright: ignore[reportUnusedClass]
            deviations = {"test_that_is_not_there": "https://example.com/issue/1"}  # noqa: RUF012


def run(pytester: pytest.Pytester, backend: str, deviations: dict[str, str], test: str) -> pytest.RunResult:
    file = pytester.makepyfile(SUITE.format(backend=backend, deviations=deviations))
    return pytester.runpytest_inprocess("-rxX", "-p", "no:cacheprovider", f"{file.name}::TestStore::{test}")


def test_a_deviation_is_expected_to_fail(pytester: pytest.Pytester) -> None:
    test = "test_k_is_how_many_come_back"
    result = run(pytester, "ranking.ReturnsFortyAtMost", {test: "returns 40 at most, https://example.com/1"}, test)
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*returns 40 at most, https://example.com/1*"])


def test_a_deviation_that_has_been_mended_fails(pytester: pytest.Pytester) -> None:
    test = "test_k_is_how_many_come_back"
    run(pytester, "MemoryBackend", {test: "was broken"}, test).assert_outcomes(failed=1)


def test_a_deviation_may_name_one_case_of_a_test(pytester: pytest.Pytester) -> None:
    test = "test_distances_are_the_metrics_own"
    result = run(pytester, "ranking.SquaresDistances", {f"{test}[l2]": "squares"}, test)
    result.assert_outcomes(xfailed=1, passed=2)


def test_a_class_without_a_factory_is_told_what_it_lacks(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(
        "from vectorkit.testing import BackendConformance\nclass TestStore(BackendConformance): pass"
    )
    result = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", f"{file.name}::TestStore::test_names_are_case_sensitive"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*PreflightError: *TestStore needs a fixture make_backend*"])


@pytest.mark.parametrize(
    ("mark", "test"),
    [
        ("recall", "test_recall_of_the_default_search_is_high"),
        ("large", "test_twelve_thousand_records_are_no_special_case"),
    ],
)
def test_a_project_that_has_not_registered_a_mark_runs_all_the_same(
    pytester: pytest.Pytester, mark: str, test: str
) -> None:
    """The marks are for projects that have them; elsewhere they are neither a warning nor an error."""
    file = pytester.makepyfile(SUITE.format(backend="MemoryBackend", deviations={}))
    test = f"{file.name}::TestStore::{test}"
    for strict in ([], ["--strict-markers"]):
        # Without pytest-asyncio, which warns in a project that does not configure it.
        pytester.runpytest_subprocess(*strict, "-p", "no:asyncio", "-W", "error", test).assert_outcomes(passed=1)
    pytester.makeini(f"[pytest]\nmarkers = {mark}: takes long")
    pytester.runpytest_subprocess("-m", f"not {mark}", test).assert_outcomes(deselected=1)


def test_no_test_of_a_section_hides_one_of_another() -> None:
    sections = [section for section in BackendConformance.__mro__[1:] if section.__name__.endswith("Rules")]
    defined = Counter(name for section in sections for name in vars(section) if name.startswith("test_"))
    assert [name for name, times in defined.items() if times > 1] == []
    assert set(defined) == {name for name in dir(BackendConformance) if name.startswith("test_")}
    modules = {path.stem for path in TESTING.glob("*.py") if "def test_" in path.read_text(encoding="utf-8")}
    assert {section.__module__.rpartition(".")[2] for section in sections} == modules


def test_asserts_of_every_section_show_their_values() -> None:
    sections = {section.__module__ for section in BackendConformance.__mro__ if section is not object}
    plain = {
        name for name in sections if type(sys.modules[name].__loader__).__name__ != AssertionRewritingHook.__name__
    }
    assert plain == set()


def test_the_suite_skips_nothing_and_imports_no_client() -> None:
    for path in TESTING.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        # Only what a failed preflight has made pointless is not run, and then there is a failure.
        allowed = {"skip"} if path.stem == "_preflight" else set[str]()
        assert names & {"skip", "skipif", "importorskip"} <= allowed, path.name
    check = (
        "import sys, vectorkit.testing\n"
        "clients = {'chromadb', 'psycopg', 'pgvector', 'torch', 'openai', 'vectorkit_chroma', 'vectorkit_pgvector'}\n"
        "assert not clients & set(sys.modules), clients & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


def test_a_missing_test_runner_is_named_with_the_line_that_installs_it() -> None:
    check = (
        "import sys, vectorkit, importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'hypothesis' else real(name, *more)\n"
        "try:\n"
        "    import vectorkit.testing\n"
        "except vectorkit.MissingDependencyError as error:\n"
        "    assert isinstance(error, ImportError)\n"
        "    assert 'hypothesis' in str(error) and \"pip install 'vectorkit-db[testing]'\" in str(error)\n"
        "else:\n"
        "    raise AssertionError('imported')\n"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
