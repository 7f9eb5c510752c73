"""Every rule of the contract has a test that cites it: one whose docstring begins with its number."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACT = (ROOT / "docs" / "SEMANTICS.md").read_text(encoding="utf-8")
RULES = re.findall(r"^- (\d+\.\d+) ", CONTRACT, re.MULTILINE)


def cited() -> Iterator[tuple[str, str]]:
    """Every rule that a test cites, and where."""
    for folder in (ROOT / "vectorkit" / "testing", ROOT / "tests"):
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    numbers = re.match(r"\d+\.\d+(?:, \d+\.\d+)*", ast.get_docstring(node) or "")
                    for number in numbers.group().split(", ") if numbers else ():
                        yield number, f"{path.relative_to(ROOT)}::{node.name}"


def test_the_rules_are_numbered_without_gaps() -> None:
    sections = Counter(number.partition(".")[0] for number in RULES)
    assert list(sections) == list("123456789")
    assert [f"{section}.{at}" for section, count in sections.items() for at in range(1, count + 1)] == RULES


def test_every_rule_is_cited_by_a_test() -> None:
    uncited = set(RULES) - {number for number, _ in cited()}
    assert not uncited, f"no test cites {', '.join(sorted(uncited))}"


def test_no_test_cites_a_rule_that_does_not_exist() -> None:
    assert [f"{number} in {where}" for number, where in cited() if number not in RULES] == []
