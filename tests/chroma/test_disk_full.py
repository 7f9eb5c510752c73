"""Rule 9.4 on a full disk: errors are typed, nothing acknowledged is lost, and with space the store works on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vectorkit as vk

VECTORS = np.random.default_rng(5).normal(size=(2100, 128)).astype(np.float32)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root on Linux")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def leave(disk: Path, count: int) -> None:
    """Fill the disk but for so many bytes."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    found = os.statvfs(disk)
    ballast.write_bytes(b"x" * max(0, found.f_bavail * found.f_frsize - count))


def test_a_full_disk_loses_nothing_acknowledged(small_disk: Path) -> None:
    """9.4 While writing, saving graphs, closing, opening and recording; with no space, and with a little of it."""
    url = f"chroma:{small_disk / 'kb'}"
    acknowledged: list[int] = []
    failed = 0
    with vk.connect(url) as store:
        docs = store.create_collection("docs", dimension=128)
        for start in range(0, 1800, 100):
            if start == 700:
                leave(small_disk, 300_000)
            numbers = range(start, start + 100)
            try:
                docs.add(ids=[f"{n:04}" for n in numbers], embeddings=VECTORS[start : start + 100])
                acknowledged.extend(numbers)
            except vk.VectorKitError:
                failed += 1
    assert failed >= 1
    for space in (0, 4_096, 20_000, 100_000):
        leave(small_disk, space)
        try:
            with vk.connect(url) as store:
                store.get_collection("docs").count()
        except vk.VectorKitError:
            continue
    (small_disk / "ballast").unlink()
    with vk.connect(url) as store:
        docs = store.get_collection("docs")
        found = {record.id: record.embedding for record in docs.get(include_embeddings=True)}
        assert docs.count() == len(found)
        for n in acknowledged:
            np.testing.assert_allclose(np.asarray(found[f"{n:04}"]), VECTORS[n], atol=1e-5)
        for n in acknowledged[::97]:
            assert docs.search(VECTORS[n], k=1, exact=False)[0].id == f"{n:04}"
        docs.upsert(ids=["after"], embeddings=VECTORS[2000:2001])
        assert docs.search(VECTORS[2000], k=1)[0].id == "after"
