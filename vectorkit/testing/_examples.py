"""How many examples Hypothesis generates: few and always the same, or many when asked for."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings

__all__ = ["EXAMPLES_VARIABLE", "examples"]

EXAMPLES_VARIABLE = "VECTORKIT_CONFORMANCE_EXAMPLES"
"""Environment variable: the number of examples of each property test, for a longer run, which also shrinks failures.

Shrinking a failure means hundreds of runs more: minutes, on a store that is not in memory.
"""

Test = TypeVar("Test", bound=Callable[..., Any])


def examples(usual: int) -> Callable[[Test], Test]:
    """Settings of one property test: deterministic, without a database of failures, without a deadline.

    Args:
        usual: The number of examples, unless the environment says another.
    """
    longer = EXAMPLES_VARIABLE in os.environ
    return settings(
        max_examples=int(os.environ.get(EXAMPLES_VARIABLE, usual)),
        phases=[Phase.generate, Phase.shrink] if longer else [Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
