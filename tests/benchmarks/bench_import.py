"""`import vectorkit` against `import numpy`, each in a fresh process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measuring import Figure, side_by_side


def figures(folder: Path) -> Iterator[Figure]:
    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)

    ours, raw = side_by_side(lambda _: run("import vectorkit"), lambda _: run("import numpy"), rounds=10)
    yield Figure("import vectorkit, against import numpy", "ms", ours, raw, goal=1.2)
