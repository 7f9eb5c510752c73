"""The marks of tests that take long, which a project may want to leave out."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

__all__ = ["large", "recall"]

Test = TypeVar("Test", bound=Callable[..., Any])


def large(test: Test) -> Test:
    """Mark a test `large`: it writes more than 10,000 records. See `_marked`."""
    return _marked(test, "large")


def recall(test: Test) -> Test:
    """Mark a test `recall`: it measures recall. See `_marked`."""
    return _marked(test, "recall")


def _marked(test: Test, name: str) -> Test:
    """Mark a test, for `-m "not NAME"`, where the project has registered that mark; else leave it as it is.

    A mark that is not registered is a warning, or an error under `--strict-markers`: that is no reason for a backend
    author's run to fail.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pytest.PytestUnknownMarkWarning)
        try:
            return getattr(pytest.mark, name)(test)  # type: ignore[no-any-return]
        except (pytest.PytestUnknownMarkWarning, pytest.fail.Exception):
            return test
