"""A factory or backend that cannot be tested is one clear failure, not a hundred."""

import pytest

from vectorkit.testing import BackendConformance

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from vectorkit import MemoryBackend
from vectorkit.testing import BackendConformance

{before}

class TestStore(BackendConformance):
    {deviations}

    @pytest.fixture
    def make_backend(self):
        return {factory}
"""


def failure(pytester: pytest.Pytester, factory: str, before: str = "", deviations: str = "") -> str:
    """The one failure of a run of the whole suite; what was not run says why."""
    pytester.makepyfile(SUITE.format(factory=factory, before=before, deviations=deviations))
    result = pytester.runpytest_inprocess("-rEFs", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes.pop("errors", 0) + outcomes.pop("failed", 0) == 1
    assert outcomes.pop("skipped") > 150
    assert outcomes.pop("passed", 0) < 10
    assert not outcomes, outcomes
    (raised,) = {line for line in result.outlines if line.startswith("E ") and "PreflightError: " in line}
    reported: str = raised.partition("PreflightError: ")[2]
    result.stdout.fnmatch_lines(["SKIPPED*not run: the backend cannot be tested, see the PreflightError above"])
    assert reported.endswith("Nothing else can be tested before that is mended.")
    return reported


def test_a_backend_in_place_of_a_factory(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "MemoryBackend()")
    assert "returned a MemoryBackend; it should return a function that opens a backend" in said


def test_a_factory_that_raises(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "lambda: MemoryBackend('no argument is taken')")
    assert "raised TypeError: MemoryBackend.__init__() takes 1 positional argument" in said


def test_a_fixture_that_raises(pytester: pytest.Pytester) -> None:
    assert "the fixture make_backend raised ZeroDivisionError" in failure(pytester, "1 / 0")


def test_a_factory_that_returns_nothing(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "lambda: None")
    assert "a NoneType does not implement the protocol: it lacks the method add(" in said


def test_one_backend_for_all_tests(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "lambda: STORE", before="STORE = MemoryBackend()")
    assert "returned a MemoryBackend that it had returned before; each call should open one of its own" in said


def test_one_store_for_all_tests(pytester: pytest.Pytester) -> None:
    shared = """
class Shared(MemoryBackend):
    everything = {}

    def __init__(self):
        super().__init__()
        self._stored = self.everything

    def close(self):
        pass
"""
    said = failure(pytester, "Shared", before=shared)
    assert "the store of a test should be empty, and this one holds '" in said
    assert "let make_backend open a store that belongs to one test alone" in said


def test_a_store_that_is_not_empty(pytester: pytest.Pytester) -> None:
    dirty = """
from vectorkit import VectorStore

def dirty():
    store = MemoryBackend()
    VectorStore(store).create_collection("left-over", dimension=2)
    return store
"""
    assert "this one holds 'left-over'" in failure(pytester, "dirty", before=dirty)


def test_a_method_that_is_missing(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "Lacking", before="class Lacking(MemoryBackend):\n    scan = None")
    assert "a Lacking does not implement the protocol: it lacks the method scan(collection, request)" in said


def test_methods_with_other_arguments(pytester: pytest.Pytester) -> None:
    other = """
class Other(MemoryBackend):
    def count(self, collection, filter=None): ...
    def drop_collection(self, *, name): ...
    def delete(self, collection, *, ids=(), where=None): ...
    async def close(self): ...
"""
    said = failure(pytester, "Other", before=other)
    for problem in (
        "count(collection, filter=None) should take (collection, where=None)",
        "drop_collection(*, name) should take (name)",
        "delete(collection, *, ids=(), where=None) should take (collection, *, ids=None, where=None)",
        "close is async; the protocol's methods are not",
    ):
        assert problem in said


def test_capabilities_that_are_none(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "Other", before="class Other(MemoryBackend):\n    capabilities = {'persistent': True}")
    assert "its property capabilities is of type dict; it should be Capabilities" in said


def test_a_capability_that_is_no_bool(pytester: pytest.Pytester) -> None:
    wrong = """
from dataclasses import replace

class Other(MemoryBackend):
    @property
    def capabilities(self):
        return replace(super().capabilities, persistent="yes")
"""
    assert "capabilities.persistent is 'yes'; it should be a bool" in failure(pytester, "Other", before=wrong)


def test_a_capability_whose_methods_are_not_written(pytester: pytest.Pytester) -> None:
    claiming = """
from dataclasses import replace

class Claiming(MemoryBackend):
    @property
    def capabilities(self):
        return replace(super().capabilities, index_changes=True, metrics=["cosine"])
"""
    said = failure(pytester, "Claiming", before=claiming)
    assert "capabilities.index_changes is True, but create_index is not written; declare False, or write it" in said
    assert "capabilities.metrics is ['cosine']; it should be a tuple of cosine, l2, ip" in said


def test_a_deviation_does_not_expect_it(pytester: pytest.Pytester) -> None:
    names = [name for name in dir(BackendConformance) if name.startswith("test_") and "store" in name]
    deviations = f"deviations = {dict.fromkeys(names, 'https://example.com/1')}"
    assert "returned a MemoryBackend; it should" in failure(pytester, "MemoryBackend()", deviations=deviations)


def test_whichever_test_is_run_alone_says_it(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(SUITE.format(factory="MemoryBackend()", before="", deviations=""))
    for test in ("test_names_are_case_sensitive", "test_a_closed_store_says_so"):
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", f"{file.name}::TestStore::{test}")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["E *PreflightError: the fixture make_backend returned a MemoryBackend*"])


def test_a_factory_that_fails_once_in_the_middle_fails_one_test(pytester: pytest.Pytester) -> None:
    flaky = """
opened = []

def flaky():
    opened.append(1)
    if len(opened) == 20:
        raise ConnectionError("once")
    return MemoryBackend()
"""
    pytester.makepyfile(SUITE.format(factory="flaky", before=flaky, deviations=""))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "Store and not workload and not large")
    outcomes = result.parseoutcomes()
    assert (outcomes.get("errors", 0) + outcomes.get("failed", 0), outcomes.get("skipped", 0)) == (1, 0)
    result.stdout.fnmatch_lines(["E *ConnectionError: once"])


def test_a_store_that_cannot_be_listed(pytester: pytest.Pytester) -> None:
    broken = """
class Broken(MemoryBackend):
    def list_collections(self):
        raise KeyError("catalog")
"""
    assert "list_collections of a Broken raised KeyError: 'catalog'" in failure(pytester, "Broken", before=broken)


@pytest.mark.parametrize("method", ["create_collection", "drop_collection"])
def test_a_store_that_cannot_be_used(pytester: pytest.Pytester, method: str) -> None:
    """Such as one whose server lacks an extension: it is said once, in the words of the backend."""
    unusable = f"""
from vectorkit import BackendError

class Unusable(MemoryBackend):
    def {method}(self, {"spec" if method == "create_collection" else "name"}):
        raise BackendError("the extension is not installed; install it")
"""
    said = failure(pytester, "Unusable", before=unusable)
    assert "the store cannot be used: making and dropping a collection raised BackendError: the extension is" in said


def test_a_store_of_one_metric_can_be_tested(pytester: pytest.Pytester) -> None:
    """What is tried out is made of what the backend declares."""
    narrow = """
from dataclasses import replace
from vectorkit import UnsupportedError

class Narrow(MemoryBackend):
    @property
    def capabilities(self):
        return replace(super().capabilities, metrics=("l2",))

    def create_collection(self, spec):
        if spec.metric != "l2":
            raise UnsupportedError("l2 alone")
        return super().create_collection(spec)
"""
    file = pytester.makepyfile(SUITE.format(factory="Narrow", before=narrow, deviations=""))
    test = f"{file.name}::TestStore::test_k_is_how_many_come_back"
    pytester.runpytest_inprocess("-p", "no:cacheprovider", test).assert_outcomes(passed=1)


def test_text_search_that_is_declared_and_lacks_methods(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "Wordless", before="class Wordless(MemoryBackend):\n    search_text = None")
    assert "it lacks the method search_text(collection, request)" in said


@pytest.mark.parametrize("declared", [True, False])
def test_text_search_that_is_declared_wrongly(pytester: pytest.Pytester, declared: bool) -> None:
    lying = f"""
from dataclasses import replace
from vectorkit import UnsupportedError

class Lying(MemoryBackend):
    @property
    def capabilities(self):
        return replace(super().capabilities, text_search={declared})

    def create_collection(self, spec):
        if {declared} and spec.text_index:
            raise UnsupportedError("no text index")
        return super().create_collection(spec)
"""
    assert f"capabilities.text_search is {declared}, but " in failure(pytester, "Lying", before=lying)
