"""The suite is tested: for each store that is wrong in one way, it is said which test fails, and that test does."""

import pytest

from vectorkit.testing.faults import FAULTS

pytest_plugins = ["pytester"]

CATCHES = {
    "FiltersAfterTheCut": "test_a_filter_decides_before_the_cut",
    "TiesInOrderOfWriting": "test_equal_distances_are_ordered_by_id",
    "MergesOnUpsert": "test_upsert_forgets_what_it_is_not_given",
    "KeepsOldVectors": "test_upsert_forgets_what_it_is_not_given",
    "ScoreIsADistance": "test_scores_are_the_metrics_own",
    "SquaresDistances": "test_distances_are_the_metrics_own",
    "ReturnsFortyAtMost": "test_k_is_how_many_come_back",
    "NotOfNothingIsNothing": "test_filters_combine",
    "BoolsAreNumbers": "test_values_are_compared_with_their_types",
    "TextsAreNumbers": "test_values_are_compared_with_their_types",
    "NegatesByTurningAround": "test_filters_combine",
    "DeletesWithoutFilter": "test_delete_by_filter_deletes_what_get_returns",
    "IgnoresDocumentFilters": "test_documents_are_searched_for_substrings",
}

SUITES = """
import pytest
from vectorkit import MemoryBackend
from vectorkit.testing import BackendConformance, faults

class TestReference(BackendConformance):
    @pytest.fixture
    def make_backend(self):
        return MemoryBackend

def suite_of(fault):
    class Suite(BackendConformance):
        @pytest.fixture
        def make_backend(self):
            return fault
    return Suite

for fault in faults.FAULTS:
    globals()["Test" + fault.__name__] = suite_of(fault)
"""


def test_every_fault_is_said_to_be_caught() -> None:
    assert [fault.__name__ for fault in FAULTS] == list(CATCHES)


def test_every_fault_is_caught_by_the_test_for_it(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(SUITES)
    names = sorted(set(CATCHES.values()))
    wanted = [f"{file.name}::Test{fault}::{test}" for fault, test in CATCHES.items()]
    good = [f"{file.name}::TestReference::{test}" for test in names]
    result = pytester.runpytest_inprocess("-q", "-rA", "--tb=no", "-p", "no:cacheprovider", *wanted, *good)
    outcomes = [line.partition(" - ")[0].split() for line in result.outlines if line.startswith(("PASSED", "FAILED"))]
    cases = {(*node.partition("[")[0].split("::Test")[1].split("::"), outcome) for outcome, node in outcomes}
    caught = {(suite, test) for suite, test, outcome in cases if outcome == "FAILED"}
    assert caught == set(CATCHES.items())
    assert {test for suite, test, outcome in cases if (suite, outcome) == ("Reference", "PASSED")} == set(names)
