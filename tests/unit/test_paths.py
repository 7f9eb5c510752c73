"""Files are made for the owner alone, and never through a link that somebody else put in their place."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vectorkit as vk
from vectorkit.embedders.cached import CachedEmbedder
from vectorkit.embedders.hashing import HashEmbedder
from vectorkit.memory import MemoryBackend
from vectorkit.mirror import MirrorBackend
from vectorkit.transfer.copy.run import copy
from vectorkit_chroma import ChromaBackend

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")


def filled() -> vk.VectorStore:
    store = vk.connect("memory:")
    store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1.0, 0.0]], documents=["secret"])
    return store


def export(folder: Path) -> None:
    copy(filled(), f"file:{folder / 'docs.jsonl'}")


def mirrored(folder: Path) -> None:
    MirrorBackend(MemoryBackend(), MemoryBackend(), journal=folder / "journal").close()


def cached(folder: Path) -> None:
    CachedEmbedder(HashEmbedder(), folder / "cache").embed_documents(["a"])


def on_disk(folder: Path) -> None:
    ChromaBackend(f"chroma:{folder}").close()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("docs.jsonl.part", export),
        ("journal.lock", mirrored),
        ("journal", mirrored),
        ("cache", cached),
        ("vectorkit.lock", on_disk),
    ],
)
def test_a_planted_link_is_not_followed(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    (tmp_path / "folder").mkdir()
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "folder" / name).symlink_to(elsewhere)
    try:
        make(tmp_path / "folder")
    except vk.VectorKitError:
        pass
    else:
        assert name == "docs.jsonl.part"  # which is replaced
    assert not elsewhere.exists()


def test_locks_of_copies_lie_in_a_folder_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder = tmp_path / f"vectorkit-{os.getuid()}"
    folder.symlink_to(elsewhere)
    with pytest.raises(vk.BackendError, match="TMPDIR"):
        export(tmp_path)
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(vk.BackendError, match="TMPDIR"):
        export(tmp_path)
    folder.rmdir()
    export(tmp_path)
    assert mode(folder) == 0o700
    assert [mode(file) for file in folder.iterdir()] == [0o600]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("make", [export, mirrored, cached])
def test_files_are_made_for_the_owner_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    before = os.umask(0o022)
    try:
        make(tmp_path)
    finally:
        os.umask(before)
    found = {file.name: mode(file) for file in tmp_path.iterdir()}
    assert found
    assert set(found.values()) == {0o600}


def test_folders_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    on_disk(tmp_path / "chroma")
    mirrored(tmp_path / "mirror")
    cached(tmp_path / "cached")
    assert {mode(folder) for folder in tmp_path.iterdir()} == {0o700}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


PLACES: list[Callable[[str], Any]] = [
    lambda path: vk.connect(f"chroma:{path}").close(),
    lambda path: copy(filled(), f"file:{path}.jsonl"),
    lambda path: MirrorBackend(MemoryBackend(), MemoryBackend(), journal=path).close(),
    lambda path: CachedEmbedder(HashEmbedder(), path).embed_documents(["a"]),
]


@pytest.mark.parametrize("at", range(len(PLACES)))
def test_a_tilde_is_the_home_folder(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    PLACES[at]("~/made")
    assert [path for path in tmp_path.iterdir() if path.name.startswith("made")]
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("at", range(len(PLACES)))
@pytest.mark.parametrize("path", ["x" * 300, "x/" * 3000, "~nobody-of-this-name/x", "a\0b", "a\ud800"])
def test_a_path_that_no_file_system_takes_is_refused(at: int, path: str) -> None:
    with pytest.raises(vk.InvalidArgumentError):
        PLACES[at](path)
