"""The switch: the secondary becomes the primary, and nothing is lost or stops."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from vectorkit import (
    BackendError,
    BackendTimeoutError,
    CollectionNotFoundError,
    CollectionSpec,
    InvalidArgumentError,
    MemoryBackend,
    VectorBackend,
    VectorStore,
)
from vectorkit.mirror import MirrorBackend
from vectorkit.urls import shown_url
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend

Contents = Callable[[VectorBackend], dict[str, list[tuple[object, ...]]]]
Mirrors = Callable[..., MirrorBackend]
Fill = Callable[..., None]


def test_after_promotion_the_other_store_answers_and_handles_stay_good(
    mirrored: Mirrors, fill: Fill, contents: Contents, postgres_url: str, schemas: tuple[str, str]
) -> None:
    """9.2 From Chroma to Postgres: it has indexes then. And back."""
    chroma, postgres = ChromaBackend("chroma:"), PgVectorBackend(postgres_url, schema=schemas[0])
    mirror = mirrored(chroma, postgres, sample=1.0)
    fill(mirror, numbers=range(50))
    docs = VectorStore(mirror).get_collection("docs")
    before = docs.search([7, 1], 5)
    assert not mirror.capabilities.index_changes
    mirror.promote()
    assert (mirror.primary, mirror.secondary) == (postgres, chroma)
    assert mirror.capabilities.index_changes
    assert isinstance(mirror, MirrorBackend)
    assert docs.search([7, 1], 5) == before
    docs.upsert(ids=["new"], embeddings=[[7, 1]])
    assert docs.delete(["00007"]) == 1
    fill(mirror, "made-later")
    again = VectorStore(mirror).get_collection("docs")
    assert again.count() == docs.count() == 50
    mirror.flush()
    assert contents(postgres) == contents(chroma)
    mirror.promote()
    assert mirror.primary is chroma
    assert not mirror.capabilities.index_changes
    for handle in (docs, again):
        handle.upsert(ids=["last"], embeddings=[[7, 1]])
        assert handle.get(["last", "new", "00007"]) == handle.get(["last", "new"])
    mirror.flush()
    assert contents(postgres) == contents(chroma)


def test_handles_that_are_stale_stay_stale(
    mirrored: Mirrors, fill: Fill, postgres_url: str, schemas: tuple[str, str]
) -> None:
    """1.6 Also in stores that count generations alike."""
    mirror = mirrored(*(PgVectorBackend(postgres_url, schema=schema) for schema in schemas))
    store = VectorStore(mirror)
    fill(mirror)
    dropped = store.get_collection("docs")
    store.drop_collection("docs")
    fill(mirror)
    kept = store.get_collection("docs")
    mirror.promote()
    later = store.get_collection("docs")
    assert kept.count() == later.count() == 3
    with pytest.raises(CollectionNotFoundError):
        dropped.count()
    store.drop_collection("docs")
    fill(mirror)
    for stale in (dropped, kept, later):
        with pytest.raises(CollectionNotFoundError):
            stale.count()


def test_promotion_is_refused_while_the_secondary_lacks_something(
    mirrored: Mirrors, fill: Fill, unsteady: Any, contents: Contents
) -> None:
    """Writes that waited for it go on."""
    primary = MemoryBackend()
    mirror = mirrored(primary, unsteady)
    fill(mirror)
    mirror.flush()
    unsteady.away.set()
    fill(mirror, numbers=[7])
    with pytest.raises(BackendTimeoutError, match="the journal holds 2 entries"):
        mirror.promote(timeout=0.3)
    assert mirror.primary is primary
    fill(mirror, numbers=[8])
    unsteady.away.clear()
    mirror.promote()
    assert mirror.primary is unsteady
    assert contents(unsteady) == contents(primary)
    assert len(contents(unsteady)["docs"]) == 5


def test_a_collection_that_others_made_in_the_primary_is_taken_along(
    mirrored: Mirrors, fill: Fill, contents: Contents
) -> None:
    primary, secondary = MemoryBackend(), MemoryBackend()
    mirror = mirrored(primary, secondary)
    fill(mirror)
    fill(primary, "by-others", numbers=range(7))
    mirror.promote()
    assert contents(secondary) == contents(primary)
    assert list(contents(mirror)) == ["by-others", "docs"]


def test_nothing_is_lost_that_is_written_during_promotions(mirrored: Mirrors, fill: Fill, contents: Contents) -> None:
    """Four threads write and read on while the stores are exchanged again and again."""
    one, other = MemoryBackend(), MemoryBackend()
    mirror = mirrored(one, other, sample=0.5)
    fill(mirror)
    docs = VectorStore(mirror).get_collection("docs")
    stop = threading.Event()
    written: list[str] = []
    failed: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            at = 0
            while not stop.is_set():
                written.extend(docs.add(ids=[f"{thread} {at}"], embeddings=[[thread, at]]))
                assert docs.get([f"{thread} {at}"])
                assert docs.search([thread, at], 1)
                at += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=[thread]) for thread in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        mirror.promote(timeout=60)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(written) > 4
    mirror.flush()
    assert contents(one) == contents(other)
    assert {row[0] for row in contents(one)["docs"]} == {*written, "00000", "00001", "00002"}


def test_the_next_mirror_is_opened_with_the_two_exchanged(
    tmp_path: Path, mirrored: Mirrors, fill: Fill, contents: Contents, postgres_url: str, schemas: tuple[str, str]
) -> None:
    """And refused otherwise while the journal holds something: what it holds would be lost."""

    def stores() -> tuple[ChromaBackend, PgVectorBackend]:
        return ChromaBackend(f"chroma:{tmp_path / 'store'}"), PgVectorBackend(postgres_url, schema=schemas[0])

    mirror = mirrored(*stores())
    fill(mirror)
    mirror.promote()
    fill(mirror, numbers=range(3, 6))
    mirror.close()
    chroma, postgres = stores()
    mirror = mirrored(postgres, chroma)
    fill(mirror, numbers=range(6, 9))
    mirror.flush()
    assert contents(chroma) == contents(postgres)
    assert len(contents(chroma)["docs"]) == 9
    chroma.drop_collection("docs")  # another one in its place, so that what is written now has to wait
    chroma.create_collection(CollectionSpec("docs", "ip", 5))
    fill(mirror, numbers=[9])
    mirror.close()
    chroma, postgres = stores()
    wrong = mirrored(chroma, postgres)
    with pytest.raises(
        BackendError, match=r"the journal holds \d+ entries for a mirror in which postgresql.* is the primary"
    ):
        wrong.list_collections()


def test_a_url_opens_a_mirror(tmp_path: Path, fill: Fill, contents: Contents) -> None:
    """Each part is percent-encoded; a plus is a plus."""
    path = tmp_path / "a folder with + and &"
    url = f"mirror:?primary={quote(f'chroma:{path}', safe='')}&secondary=memory:&journal={quote(str(path))}.journal"
    with VectorStore(MirrorBackend.from_url(f"{url}&sample=1")) as store:
        assert isinstance(store.backend, MirrorBackend)
        fill(store.backend)
        store.backend.flush()
        assert contents(store.backend.secondary) == contents(store.backend.primary)
        store.get_collection("docs").search([1, 1])
        store.backend.flush()
        assert store.backend.report().compared == 1
    assert path.is_dir()
    assert (tmp_path / "a folder with + and &.journal").is_file()


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "?",
        "?primary=memory:&secondary=memory:",
        "?primary=memory:&secondary=memory:&journal={journal}&other=1",
        "?primary=memory:&primary=memory:&secondary=memory:&journal={journal}",
        "?primary=memory:&secondary=memory:&journal={journal}&sample=most",
        "?primary=memory:&secondary=memory:&journal={journal}&sample=2",
        "?primary=memory:&secondary=secretdb://me:secret@host&journal={journal}",
        "//host?primary=memory:&secondary=memory:&journal={journal}",
    ],
)
def test_a_malformed_url_is_refused_without_showing_it(rest: str, tmp_path: Path) -> None:
    """8.3 Nothing of it that could be a password."""
    with pytest.raises(InvalidArgumentError) as raised:
        MirrorBackend.from_url(f"mirror:{rest.format(journal=tmp_path / 'journal')}")
    assert "secret@" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_passwords_in_a_url_of_a_mirror_are_masked(tmp_path: Path) -> None:
    """8.3 However deep, and however encoded; nor does a mirror show those of its stores."""
    postgres = "postgresql://me:secret@host/db?sslmode=require&password=secret"
    inner = f"mirror:?primary={quote(postgres, safe='')}&secondary=memory:&journal=a"
    for url in (
        inner,
        f"mirror:?primary={postgres.partition('?')[0]}&secondary=memory:&journal=a",
        f"mirror:?primary={quote(inner, safe='')}&secondary={quote(postgres, safe='')}&journal=b",
    ):
        shown = shown_url(url)
        assert "secret" not in shown
        assert "me@host/db" in shown
    mirror = MirrorBackend.from_url(
        f"mirror:?primary={quote(postgres, safe='')}&secondary=memory:&journal={tmp_path / 'journal'}"
    )
    assert "secret" not in f"{mirror!r} {mirror.name}"
    mirror.close()
