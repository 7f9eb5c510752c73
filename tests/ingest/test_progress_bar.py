"""`progress=True`: a bar on a terminal, nothing elsewhere, and an error that says how to get it."""

import os
import pty
import subprocess
import sys

import pytest

import vectorkit as vk
from vectorkit.embedders import HashEmbedder

CODE = """
import threading
import vectorkit as vk
from vectorkit.embedders import HashEmbedder

docs = vk.connect("memory:").create_collection("docs", embedder=HashEmbedder(8))
docs.ingest([f"text {n}" for n in range(700)], ids="content", batch_size=100, progress=True)
docs.ingest((f"text {n}" for n in range(800)), ids="content", batch_size=100, progress=True)
docs.reembed(HashEmbedder(16), progress=True)
assert threading.active_count() == 1
"""


def on_terminal(code: str) -> str:
    """What a process writes to its standard error, if that is a terminal."""
    leader, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = bytearray()
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # all writers have closed it
                break
            if not part:
                break
            shown += part
    os.close(leader)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_a_bar() -> None:
    shown = on_terminal(CODE)
    assert "ingesting into docs" in shown
    assert "100/700" in shown
    assert "700/700" in shown
    assert "800/?" in shown
    assert "embedding docs anew" in shown
    assert "800/800" in shown


def test_elsewhere_nothing_is_shown() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_rich_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """8.1 And nothing is embedded or written; a function needs no package."""
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    docs = vk.connect("memory:").create_collection("docs", embedder=HashEmbedder(8))
    with pytest.raises(vk.MissingDependencyError, match=r"rich.*pip install 'vectorkit-db\[cli\]'"):
        docs.ingest(["text"], ids="content", progress=True)
    assert docs.count() == 0
    assert docs.ingest(["text"], ids="content", progress=lambda counts: None).written == 1
