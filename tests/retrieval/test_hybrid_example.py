"""The example that compares semantic and hybrid search, as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "hybrid.py"


def test_the_example_prints_its_table_and_draws_its_picture(tmp_path: Path) -> None:
    """With the real model, and what this Python says: hybrid search finds names better than vectors do."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # on a busy machine threads that wait for each other cost more
    command = [sys.executable, str(EXAMPLE), "memory:"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count = re.match(r"(\d+) passages on Python's errors", done.stdout)
    assert count is not None
    assert int(count[1]) >= 300
    figures = re.search(r"^The question holds the name +([\d.]+) +([\d.]+) +([\d.]+) +\+", done.stdout, re.MULTILINE)
    assert figures is not None, done.stdout
    _, hybrid, vectors = map(float, figures.groups())
    assert 1 >= hybrid > vectors > 0
    picture = (tmp_path / "hybrid.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
