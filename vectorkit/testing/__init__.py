"""The conformance suite: whether a store means the same as all others, as tests a backend author subclasses.

::

    from vectorkit.testing import BackendConformance


    class TestAcme(BackendConformance):
        @pytest.fixture
        def make_backend(self, tmp_path):
            return lambda: AcmeBackend(tmp_path)

Every test cites the rule of the contract that it proves. It needs the extra `testing`. `vectorkit conformance URL`
runs it without a test file; `vectorkit.testing.report` does the same for programs.
"""

import sys
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from vectorkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from vectorkit.testing.suite import BackendConformance

for _package, _module in {"pytest": "pytest", "hypothesis": "hypothesis", "PyStemmer": "Stemmer"}.items():
    if find_spec(_module) is None:
        raise MissingDependencyError(
            f"the conformance suite needs {_package}, which is not installed: pip install 'vectorkit-db[testing]'"
        )

__all__ = ["BackendConformance"]


def __getattr__(name: str) -> object:
    """Load the suite on first use: when pytest is running, which rewrites the asserts of what is imported from then."""
    if name != "BackendConformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # Asserts in these modules then show their values when they fail, as they do in test files. What was imported
    # before cannot be rewritten, and pytest warns of it.
    modules = {f"{__name__}.{module.name}" for module in iter_modules(__path__)}
    pytest.register_assert_rewrite(*modules.difference(sys.modules))
    from vectorkit.testing.suite import BackendConformance

    globals()[name] = BackendConformance
    return BackendConformance
