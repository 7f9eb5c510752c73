"""What of a URL is shown: no part of a password, however it was written (rule 8.3)."""

import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vectorkit as vk
from vectorkit.transfer.opening import open_source
from vectorkit.urls import shown_url

TOKEN = "S3cr3t"
secrets = st.builds(
    "{}{}{}".format,
    st.text("@/#?:&= \t\n%+[]'\"\\.x5é\x1b", max_size=6),
    st.just(TOKEN),
    st.text("@/#?:&= \t\n%+[]'\"\\.x5é\x1b", max_size=6),
)

FORMS = [
    "postgresql://me:{}@127.0.0.1:1/db?connect_timeout=1",
    "postgres://me:{}@127.0.0.1:1",
    "postgresql://127.0.0.1:1/db?user=me&connect_timeout=1&password={}",
    "postgresql://127.0.0.1:1/db?password={}&sslmode=disable",
    "chroma+http://me:{}@127.0.0.1:1",
    "chroma+https://{}@127.0.0.1:1",
    "chroma+http://127.0.0.1:1?token={}",
    "chroma+http://127.0.0.1:1/{}@x",
    "chroma://me:{}@127.0.0.1:1",
    "file://me:{}@127.0.0.1/x.jsonl",
    "file:x.jsonl?token={}",
    "unknown://me:{}@host",
    "host=127.0.0.1 port=1 password={}",
]


@settings(deadline=None)
@given(st.sampled_from(FORMS), secrets, st.booleans())
def test_no_part_of_a_password_is_shown(form: str, secret: str, encoded: bool) -> None:
    url = form.format(quote(secret, safe="") if encoded else secret)
    nested = f"mirror:?primary={quote(url, safe='')}&secondary=memory:&journal=j"
    for shown in (shown_url(url), shown_url(nested), shown_url(f"mirror:?primary={url}&secondary=memory:&journal=j")):
        assert TOKEN not in shown


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([form for form in FORMS if not form.startswith(("chroma:", "file:x"))]), secrets)
def test_no_error_shows_a_part_of_a_password(form: str, secret: str) -> None:
    """Nothing listens at port 1, so that all that is opened fails, and says so."""
    assert TOKEN not in "".join(said(form.format(secret)))


def said(url: str) -> Iterator[str]:
    """All that is said of a URL when it is opened: what is shown of the store, and errors with what led to them."""
    try:
        with open_source(url) as source:
            yield source.label
            yield repr(getattr(source, "backend", None))
            source.contents()
    except vk.VectorKitError as error:
        yield from messages(error)


def messages(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{error!s} {error!r}"
        yield from traceback.format_exception_only(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory:", "memory:"),
        ("chroma:./kb", "chroma:./kb"),
        ("chroma:/var/lib/a b@c", "chroma:***"),
        ("file:/tmp/all.parquet", "file:/tmp/all.parquet"),
        ("postgresql+embedded:./pg", "postgresql+embedded:./pg"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:pw@[::1]:5432/db", "postgresql://me@[::1]:5432/db"),
        ("postgresql://me%40x:p%40w@a,b:1/db?sslmode=require", "postgresql://me%40x@a,b:1/db?sslmode=require"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("postgresql://host/db?schema=app&password=pw", "postgresql://host/db?***"),
        ("postgresql://me:p@w@host/db", "postgresql://***"),
        ("postgresql://me:pw", "postgresql://***"),
        ("chroma+http://host:8000", "chroma+http://host:8000"),
        ("https://host/v1/embed", "https://host/v1/embed"),
        ("https://token@host/v1", "https://host/v1"),
        (
            "mirror:?primary=memory:&secondary=chroma%3Akb&journal=j",
            "mirror:?primary=memory:&secondary=chroma:kb&journal=j",
        ),
        ("mirror:?primary=memory:&secondary=memory:&other=pw", "mirror:***"),
        ("host=h password=pw", "***"),
    ],
)
def test_what_tells_stores_apart_is_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_an_at_sign_in_a_password_that_is_not_encoded_is_refused() -> None:
    with pytest.raises(vk.InvalidArgumentError, match="percent-encoded"):
        vk.connect("postgresql://me:p@@S3cr3t@127.0.0.1:1/db")
