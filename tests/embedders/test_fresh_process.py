"""What only a process of its own can show: what is loaded when, what is printed, what is connected to, forks."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

CODE = """
import json, os, signal, sys

def refuse_network(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(f"{event}: {arguments}")

sys.addaudithook(refuse_network)

from vectorkit.embedders import HashEmbedder, SentenceTransformerEmbedder

def heavy():
    return sorted({"openai", "torch", "transformers", "sentence_transformers"} & set(sys.modules))

facts = {"after import": heavy()}
embedder = SentenceTransformerEmbedder(device="cpu")
facts["dimension"] = embedder.identity.dimension
facts["after identity"] = heavy()
texts = ["how networks learn", "word " * 300, "naïve café"] * 2
import warnings
warnings.simplefilter("ignore")
made = embedder.embed_documents(texts)
facts["after embedding"] = heavy()
facts["rows"] = len(made)

import logging
facts["level"] = logging.getLogger("transformers").level
from transformers.utils import logging as bars
facts["bars"] = bars.is_progress_bar_enabled()

reading, writing = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that hangs would outlive the test
    own = SentenceTransformerEmbedder(device="cpu").embed_documents(texts)
    difference = max(abs(embedder.embed_documents(texts) - made).max(), abs(own - made).max())
    os.write(writing, str(float(difference)).encode())
    os._exit(0)
os.close(writing)
facts["in a child"] = float(os.read(reading, 100) or "nan")
os.waitpid(child, 0)
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def process() -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    return subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def facts(process: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def test_importing_the_embedders_and_asking_for_an_identity_loads_no_model_library(facts: dict[str, Any]) -> None:
    assert facts["after import"] == []
    assert facts["after identity"] == []
    assert facts["dimension"] == 384
    assert facts["after embedding"] == ["sentence_transformers", "torch", "transformers"]


def test_shipped_weights_are_found_without_any_connection(facts: dict[str, Any]) -> None:
    """Nothing tells the process that it is offline; a connection or a look-up of a name would end it."""
    assert facts["rows"] == 6


def test_loading_and_embedding_print_nothing(process: "subprocess.CompletedProcess[str]") -> None:
    assert process.stderr == ""
    assert len(process.stdout.splitlines()) == 1  # our own


def test_log_levels_and_progress_bars_of_the_caller_are_put_back(facts: dict[str, Any]) -> None:
    assert facts["level"] == 30
    assert facts["bars"] is True


def test_a_forked_child_can_embed(facts: dict[str, Any]) -> None:
    """9.3 After a fork, a child opens its own; an embedder loaded before still works there, on one thread."""
    assert facts["in a child"] < 1e-5
