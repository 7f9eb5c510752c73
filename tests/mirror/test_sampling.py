"""Searches that are run on the secondary too: what the report says of them is what happened."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vectorkit import Collection, MemoryBackend, Ranking, VectorStore
from vectorkit.mirror import MirrorBackend
from vectorkit_chroma import ChromaBackend

Mirrors = Callable[..., MirrorBackend]
Fill = Callable[..., None]


class Differing(MemoryBackend):
    """Finds one hit in place of another, half a point off, and takes its time."""

    def search(self, *given: Any, **named: Any) -> list[Ranking]:
        time.sleep(0.02)
        return [
            Ranking(
                [
                    replace(ranking.hits[0], id="another"),
                    replace(ranking.hits[1], score=ranking.hits[1].score - 0.5),
                    *ranking.hits[2:],
                ],
                exact=True,
            )
            for ranking in super().search(*given, **named)
        ]


class Gated(MemoryBackend):
    """Answers no search before it may; says when one has come."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = threading.Event(), threading.Event()

    def search(self, *given: Any, **named: Any) -> list[Ranking]:
        self.asked.set()
        assert self.gate.wait(30)
        return super().search(*given, **named)


def opened(mirror: MirrorBackend) -> Collection:
    return VectorStore(mirror).get_collection("docs")


def test_two_stores_that_agree_have_full_parity(mirrored: Mirrors, fill: Fill) -> None:
    """6.7, 7.5 In searches by vector, by words and by both, one query or many."""
    mirror = mirrored(MemoryBackend(), ChromaBackend("chroma:"), sample=1.0)
    fill(mirror, numbers=range(200))
    docs = opened(mirror)
    docs.create_text_index()
    mirror.flush()
    docs.search([7, 1], 10, where={"even": True})
    docs.search_many([[at, 1] for at in range(5)], 3)
    docs.search("text 7", mode="text")
    docs.search("text 7", mode="hybrid", vector=[7, 1])
    docs.search([7, 1], 10, where={"number": -1})
    mirror.flush()
    report = mirror.report()
    assert (report.compared, report.skipped, report.dropped, report.failures) == (5, 0, 0, 0)
    assert (report.overlap, report.lowest_overlap) == (1.0, 1.0)
    assert report.score_difference is not None
    assert report.score_difference < 1e-6
    assert report.primary is not None
    assert report.secondary is not None
    assert 0 < report.primary.p50 <= report.primary.p95


def test_differences_are_told_with_their_size(mirrored: Mirrors, fill: Fill) -> None:
    mirror = mirrored(MemoryBackend(), Differing(), sample=1.0)
    fill(mirror, numbers=range(20))
    mirror.flush()
    docs = opened(mirror)
    docs.search([7, 1], 10)
    docs.search([7, 1], 4)
    mirror.flush()
    report = mirror.report()
    assert report.compared == 2
    assert report.overlap == pytest.approx((0.9 + 0.75) / 2)
    assert report.lowest_overlap == 0.75
    assert report.score_difference == pytest.approx(0.5)
    assert report.secondary is not None
    assert report.secondary.p50 >= 20
    assert report.primary is not None
    assert report.primary.p95 < report.secondary.p50


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.2, 130, 270), (1.0, 1000, 1000)])
def test_the_share_of_searches_that_is_compared_is_the_one_asked_for(
    mirrored: Mirrors, fill: Fill, share: float, least: int, most: int
) -> None:
    """Of 1,000 searches at 0.2, 70 more or fewer than 200 would be five and a half standard deviations off."""
    mirror = mirrored(MemoryBackend(), MemoryBackend(), sample=share)
    fill(mirror)
    mirror.flush()
    docs = opened(mirror)
    for at in range(1000):
        docs.search([at, 1], 2)
        if at % 50 == 49:
            mirror.flush()
    report = mirror.report()
    assert report.dropped == 0
    assert least <= report.compared <= most
    if not share:
        assert (report.overlap, report.score_difference, report.primary) == (None, None, None)


def test_no_search_waits_for_the_secondary(mirrored: Mirrors, fill: Fill) -> None:
    """A hundred are kept until it answers; those beyond are dropped, and counted."""
    secondary = Gated()
    mirror = mirrored(MemoryBackend(), secondary, sample=1.0)
    fill(mirror)
    mirror.flush()
    docs = opened(mirror)
    docs.search([1, 1])
    assert secondary.asked.wait(30)
    for at in range(130):
        assert docs.search([at, 1], 1)[0].id == f"{min(at, 2):05}"
    assert mirror.report().dropped == 30
    secondary.gate.set()
    mirror.flush()
    assert (mirror.report().compared, mirror.report().overlap) == (101, 1.0)


def test_a_search_during_a_write_is_not_compared(mirrored: Mirrors, fill: Fill) -> None:
    """The answers may differ then without anything being wrong."""
    secondary = Gated()
    mirror = mirrored(MemoryBackend(), secondary, sample=1.0)
    fill(mirror)
    mirror.flush()
    docs = opened(mirror)
    docs.search([1, 1], 2)
    assert secondary.asked.wait(30)
    docs.upsert(ids=["new"], embeddings=np.array([[1, 1]]))
    secondary.gate.set()
    mirror.flush()
    assert (mirror.report().compared, mirror.report().skipped) == (0, 1)
    docs.search([1, 1], 2)
    mirror.flush()
    assert (mirror.report().compared, mirror.report().overlap) == (1, 1.0)


def test_an_error_of_the_clients_own_does_not_end_the_comparing_nor_show_its_text(
    mirrored: Mirrors, fill: Fill
) -> None:
    """8.3 It may hold a password."""

    class Broken(MemoryBackend):
        def search(self, *given: Any, **named: Any) -> list[Ranking]:
            raise RuntimeError("postgresql://me:secret@host")

    mirror = mirrored(MemoryBackend(), Broken(), sample=1.0)
    fill(mirror)
    mirror.flush()
    for _ in range(2):
        opened(mirror).search([1, 1])
    mirror.flush()
    report = mirror.report()
    assert (report.failures, report.compared) == (2, 0)
    assert report.last_error is not None
    assert "RuntimeError" in report.last_error
    assert "secret" not in str(report)
