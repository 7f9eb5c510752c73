"""`BackendConformance`: the whole contract as tests, for a backend author to subclass."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from vectorkit.errors import VectorKitError
from vectorkit.testing._collections import CollectionRules
from vectorkit.testing._differences import DifferenceRules
from vectorkit.testing._embedders import EmbedderRules
from vectorkit.testing._equivalence import EquivalenceRules
from vectorkit.testing._errors import ErrorRules
from vectorkit.testing._filter_limits import FilterLimitRules
from vectorkit.testing._filters import FilterRules
from vectorkit.testing._hybrid import HybridRules
from vectorkit.testing._ingest import IngestRules
from vectorkit.testing._large import LargeSearchRules
from vectorkit.testing._metadata import MetadataRules
from vectorkit.testing._reading import ReadingRules
from vectorkit.testing._records import RecordRules
from vectorkit.testing._reembed import ReembedRules
from vectorkit.testing._reranking import RerankingRules
from vectorkit.testing._search import SearchRules
from vectorkit.testing._sizes import SizeRules
from vectorkit.testing._text import TextRules
from vectorkit.testing._text_index import TextIndexRules
from vectorkit.testing._ties import TieRules
from vectorkit.testing._updating import UpdateRules
from vectorkit.testing._vectors import VectorRules
from vectorkit.testing._writing import WritingRules

__all__ = ["BackendConformance", "deviation", "unknown_tests"]


class BackendConformance(
    CollectionRules,
    EmbedderRules,
    ReembedRules,
    RecordRules,
    VectorRules,
    MetadataRules,
    WritingRules,
    UpdateRules,
    IngestRules,
    ReadingRules,
    FilterRules,
    FilterLimitRules,
    SearchRules,
    TieRules,
    LargeSearchRules,
    SizeRules,
    TextIndexRules,
    TextRules,
    HybridRules,
    RerankingRules,
    EquivalenceRules,
    ErrorRules,
    DifferenceRules,
):
    """Every rule of the contract that a backend can keep or break, as tests. Subclass it, and say how to open a store::

        class TestAcme(BackendConformance):
            @pytest.fixture
            def make_backend(self, tmp_path):
                return lambda: AcmeBackend(tmp_path)

    `make_backend` returns a function that opens a backend. The first call of a test opens a store that is empty and
    that nothing else uses meanwhile; another call in the same test opens the same store once more if the backend's
    capabilities say `persistent` or `multi_process`, and a new one if not. With `persistent` alone the suite closes
    the first one before. It closes whatever it opened; a fixture that yields can clean up after that.

    What the backend cannot do is read from its capabilities; the suite checks that it then refuses, and skips nothing.
    The examples of the property tests are always the same; the environment variable `VECTORKIT_CONFORMANCE_EXAMPLES`
    sets their number, for a longer run. The tests that measure recall are marked `recall`, and those that write more
    than 10,000 records `large`, where the project has registered these marks.

    Attributes:
        deviations: Tests of the suite, by name (`"test_x"`, or `"test_x[l2]"` for one case of it), that the backend is
            known to fail, each with the reason and a link. Such a test must fail: it is a strict xfail.
    """

    deviations: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Refuse to lose a test of the suite by accident.

        Raises:
            TypeError: The class defines a test of the suite anew, or names one in `deviations` that is not there.
        """
        super().__init_subclass__()
        if redefined := sorted(_tests().intersection(vars(cls))):
            raise TypeError(
                f"{cls.__name__} redefines {', '.join(redefined)} of the conformance suite; give a test of your own "
                "another name, and list what the backend is known to fail in `deviations`"
            )
        if unknown := unknown_tests(cls.deviations):
            raise TypeError(f"{cls.__name__}.deviations names {', '.join(unknown)}: no such test in the suite")

    @pytest.fixture(autouse=True)
    def _expect_deviation(self, request: pytest.FixtureRequest) -> None:
        if mark := deviation(request.node.name, self.deviations):
            request.applymarker(mark)


def deviation(test: str, deviations: Mapping[str, str]) -> pytest.MarkDecorator | None:
    """Return the strict xfail of a test that is known to fail, by its name or that of all its cases; else None."""
    reason = deviations.get(test, deviations.get(test.partition("[")[0]))
    # A wrong answer fails an assertion, or breaks what the test does with it; a `PreflightError` is none of these.
    broken = (AssertionError, LookupError, TypeError, ValueError, VectorKitError, pytest.fail.Exception)
    return None if reason is None else pytest.mark.xfail(reason=reason, raises=broken, strict=True)


def unknown_tests(deviations: Mapping[str, str]) -> list[str]:
    """Return the names that are no test of the suite."""
    return sorted(name for name in deviations if name.partition("[")[0] not in _tests())


def _tests() -> set[str]:
    return {name for name in dir(BackendConformance) if name.startswith("test_")}
