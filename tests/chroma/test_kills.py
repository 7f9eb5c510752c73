"""Rule 9.4 on disk: kill -9 at aimed moments loses nothing acknowledged, and the folder opens.

Twenty kills, or as many as VECTORKIT_KILLS says.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

KILLS = int(os.environ.get("VECTORKIT_KILLS", "20"))


def test_kill_9_at_aimed_moments_loses_nothing(tmp_path: Path) -> None:
    """9.4 In saves of the graph, opening, repairing, reducing the log and closing, amid writes of every kind."""
    harness = Path(__file__).with_name("kills.py")
    command = [sys.executable, str(harness), str(tmp_path / "kb"), str(KILLS), os.environ.get("VECTORKIT_SEED", "14")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    print(counts)
    assert counts.get("broken", 0) == counts.get("worker failed", 0) == 0
    assert counts["killed"] >= KILLS * 0.8
    assert counts["torn, made anew"] >= 1, "no kill hit a graph while it was saved"
