"""What kinds of stores there are, what they share, and what they never touch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import chromadb
import pytest

import vectorkit as vk
from vectorkit_chroma import ChromaBackend


def test_stores_in_memory_share_nothing() -> None:
    """9.3 Two `chroma:` are two stores, beside a client of the caller's that is in memory too."""
    first, second = vk.connect("chroma:"), vk.connect("chroma:")
    own = vk.VectorStore(ChromaBackend(client=chromadb.EphemeralClient()))
    first.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 0]])
    assert second.list_collections() == []
    assert "docs" not in [collection.name for collection in own.list_collections()]
    second.create_collection("docs", dimension=3)
    second.close()
    assert first.get_collection("docs").count() == 1


def test_neither_an_embedding_model_nor_the_network_is_ever_touched() -> None:
    """2.3 Chroma fetches a model where it gets texts without vectors; no call does that, and no telemetry is sent."""
    code = """
import sys
import warnings
warnings.simplefilter("error")

def watch(event, arguments):
    assert event not in ("socket.connect", "socket.getaddrinfo"), (event, arguments)

sys.addaudithook(watch)
import vectorkit as vk
from vectorkit.embedders import HashEmbedder

with vk.connect("chroma:") as store:
    docs = store.create_collection("docs", embedder=HashEmbedder(64))
    docs.add(ids=["a", "b"], documents=["one text", None], embeddings=[None, [1.0] * 64])
    docs.upsert(ids=["a"], documents=["another text"])
    docs.update(ids=["a"], documents=["a third text"])
    docs.update(ids=["a"], documents=[None])
    docs.update(ids=["b"], metadatas=[{"k": 1}])
    assert docs.search("text", k=2)
assert "onnxruntime" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_callers_client_is_used_and_not_closed(tmp_path: Path) -> None:
    """9.5 A client that is brought along stays the caller's."""
    client = chromadb.PersistentClient(str(tmp_path))
    with vk.VectorStore(ChromaBackend(client=client)) as store:
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 0]], documents=["text"])
    assert client.get_collection("docs", embedding_function=None).count() == 1


def test_a_collection_made_by_others_is_not_taken_for_ours() -> None:
    """1.3 It is not listed, and opening or creating one of its name says what is the matter."""
    client = chromadb.EphemeralClient()
    client.create_collection("foreign-docs", embedding_function=None)
    store = vk.VectorStore(ChromaBackend(client=client))
    assert "foreign-docs" not in [collection.name for collection in store.list_collections()]
    with pytest.raises(vk.CollectionMismatchError, match="foreign-docs"):
        store.get_collection("foreign-docs")
    with pytest.raises(vk.CollectionExistsError):
        store.create_collection("foreign-docs", dimension=2)
    client.delete_collection("foreign-docs")


def test_a_server_that_is_not_there_is_named() -> None:
    """8.1 Away: `BackendUnavailableError` with host and port, at once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(vk.BackendUnavailableError, match=f"127.0.0.1:{port}"):
            vk.connect(f"chroma+http://127.0.0.1:{port}")


def test_a_secret_header_shows_nowhere(chroma_http_url: str) -> None:
    """8.3 Not in a repr, not in an error."""
    backend = ChromaBackend(f"chroma+{chroma_http_url}", headers={"x-chroma-token": "top-secret"})
    store = vk.VectorStore(backend)
    assert "top-secret" not in repr(backend) + repr(store) + backend.name
    with pytest.raises(vk.CollectionNotFoundError) as caught:
        store.get_collection("there-is-none")
    assert "top-secret" not in repr(caught.value) + repr(caught.value.__cause__)
    store.close()


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    """8.1 A file where the folder should be: typed, and the file is left alone."""
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(vk.BackendError, match="file"):
        vk.connect(f"chroma:{file}")
    with pytest.raises(vk.BackendError):
        vk.connect(f"chroma:{file / 'below'}")
    assert file.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """8.1 `BackendPermissionError`; root passes every permission, so the attempt is made as another user."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    code = f"""
import vectorkit as vk
import vectorkit_chroma  # all is imported before the user changes
import os
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    vk.connect({f"chroma:{folder / 'kb'}"!r})
except vk.BackendPermissionError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert "cannot be written" in done.stdout, done.stdout + done.stderr


def test_without_chromadb_the_message_holds_the_pip_line() -> None:
    """8.1 `MissingDependencyError`, which is an ImportError."""
    code = """
import sys
sys.modules["chromadb"] = None  # as if it were not installed
import vectorkit as vk
try:
    vk.connect("chroma:")
except vk.MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'vectorkit-db[chroma]'" in done.stdout


@pytest.mark.parametrize("url", ["chroma+http://", "chroma+http://host:port", "chroma+http://:8000", "chroma+https:x"])
def test_a_malformed_url_is_refused(url: str) -> None:
    """8.2 An argument's own fault is `InvalidArgumentError`."""
    with pytest.raises(vk.InvalidArgumentError):
        vk.connect(url)


def test_the_environment_is_left_as_it_was() -> None:
    before = dict(os.environ)
    vk.connect("chroma:").close()
    assert dict(os.environ) == before


OLD = """
import chromadb
import vectorkit as vk

chromadb.__version__ = {version!r}
try:
    vk.connect("chroma:").close()
except vk.MissingDependencyError as error:
    print(error)
else:
    print("connected")
"""


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.6.3", "chromadb 0.6.3 is too old, 1.0.21 or newer is needed; upgrade it: pip install --upgrade "),
        ("1.0.0", "chromadb 1.0.0 is too old, 1.0.21 or newer is needed; upgrade it: pip install --upgrade "),
        ("1.0.21", "connected"),
        ("2.0.0rc1", "connected"),
    ],
)
def test_a_chromadb_that_is_too_old_is_named(version: str, said: str) -> None:
    """8.3 With the version found and the one needed, before it breaks on something that says less."""
    done = subprocess.run([sys.executable, "-c", OLD.format(version=version)], capture_output=True, text=True)
    assert done.stdout.startswith(said), done.stderr
