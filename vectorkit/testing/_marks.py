"""The mark of the tests that measure recall."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

__all__ = ["recall"]

Test = TypeVar("Test", bound=Callable[..., Any])


def recall(test: Test) -> Test:
    """Mark a test `recall`, for `-m "not recall"`, where the project has registered that mark; else leave it as it is.

    A mark that is not registered is a warning, or an error under `--strict-markers`: that is no reason for a backend
    author's run to fail.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pytest.PytestUnknownMarkWarning)
        try:
            return pytest.mark.recall(test)  # type: ignore[no-any-return]
        except (pytest.PytestUnknownMarkWarning, pytest.fail.Exception):
            return test
