"""The filter language (section 5 of the contract): one AST, two ways to write it, one reference evaluator.

A filter is a dict (`{"year": {"$gte": 2020}, "lang": "en"}`) or is built (`(F("year") >= 2020) & (F("lang") == "en")`);
`parse` turns either into the same tree of `Compare`, `Contains`, `And`, `Or` and `Not`. The negative operators are
not in the tree: `$ne` is `Not(Compare("$eq", …))`, and so on, so that a backend has eight leaves to translate and
two-valued logic holds by construction. `matches` is the meaning of the tree; every backend is compared with it.
"""

from vectorkit.filters.evaluation import evaluate, matches
from vectorkit.filters.syntax import MAX_CONDITIONS, MAX_DEPTH, MAX_SET_VALUES, F, parse, parse_document
from vectorkit.filters.tree import (
    FALSE,
    TRUE,
    And,
    Compare,
    Contains,
    Filter,
    Not,
    Operator,
    Or,
    Scalar,
    negate,
    simplify,
    walk,
)

__all__ = [
    "FALSE",
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "MAX_SET_VALUES",
    "TRUE",
    "And",
    "Compare",
    "Contains",
    "F",
    "Filter",
    "Not",
    "Operator",
    "Or",
    "Scalar",
    "evaluate",
    "matches",
    "negate",
    "parse",
    "parse_document",
    "simplify",
    "walk",
]
