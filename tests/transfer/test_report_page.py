"""The page of a comparison, in a real Chromium: what it shows, that it needs nothing else, and that it fits a phone."""

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from html import escape, unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit.transfer.compare.page import page

Browse = Callable[..., str]


def find_browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("needs Chromium or Google Chrome on the PATH (apt install chromium)", allow_module_level=True)


BROWSER = find_browser()

HOSTILE = "<script>document.title = 'taken over'</script><img src='http://pictures.invalid/a.png' onerror='alert(1)'>"
TEXTS = [
    "Networks learn by gradient descent.",
    HOSTILE,
    "No break in this: " + "x" * 400,
    "A long one. " * 60,
    "שלום, and \x08 more",
]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Opens a page in a browser of its own, and returns the document as it is rendered."""

    def browse(content: str, *options: str) -> str:
        file = tmp_path / "page.html"
        file.write_text(content, encoding="utf-8")
        command = [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", *options, "--dump-dom", file.as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return browse


@pytest.fixture(scope="module")
def compared() -> vk.Comparison:
    """Two stores, the second of which lacks a record and has another document."""
    stores = vk.VectorStore(vk.MemoryBackend()), vk.VectorStore(vk.MemoryBackend())
    for store in stores:
        docs = store.create_collection("docs", embedder=HashEmbedder(48))
        docs.add(
            ids=["net", "<hostile>", "https://host/" + "path/" * 40, "long", "rtl", "bare"],
            documents=[*TEXTS, None],
            embeddings=[*HashEmbedder(48).embed_documents(TEXTS), [1.0] * 48],
            metadatas=[{"year": 2020, "tag": "</code><script>1</script>"}, *({"n": at} for at in range(5))],
        )
    changed = stores[1].get_collection("docs")
    changed.delete(["long"])
    changed.update(ids=["net"], documents=["Networks do not learn."], embeddings=[[1.0] * 48])
    return vk.compare(*stores, ["how networks learn", HOSTILE, vk.Query("years", where={"year": {"$gte": 2020}})])


def text_of(dom: str) -> str:
    """What a document says, without its tags and styles."""
    body = re.sub(r"<style>.*?</style>", "", dom, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_the_page_shows_every_answer(browse: Browse, compared: vk.Comparison) -> None:
    said = text_of(browse(page(compared)))
    for query in compared.queries:
        assert query.query in said
        for answer in (query.first, query.second):
            assert f"{answer.milliseconds:.1f} ms" in said
            for hit in answer.hits:
                assert hit.id in said
                assert f"{hit.score:.6f}" in said
                assert re.sub(r"\s+", " ", (hit.document or "no document").replace("\x08", "\ufffd")).strip() in said
        assert all(sentence in said for sentence in query.differences)
    assert "The answers to 3 of 3 queries differ." in said
    assert "✗ differ" in said
    assert 'where {"year": {"$gte": 2020}}' in said
    assert "not in B" in said
    assert "rank 2 in B" in said


def test_answers_that_agree_are_said_to(browse: Browse) -> None:
    stores = vk.VectorStore(vk.MemoryBackend()), vk.VectorStore(vk.MemoryBackend())
    for store in stores:
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
    said = text_of(
        browse(page(vk.compare(*stores, [vk.Query(vector=[1, 1]), vk.Query(vector=[1, 1], where={"v": 1})])))
    )
    assert "The answers to all 2 queries agree." in said
    assert "✓ agree" in said
    assert "✗" not in said
    assert "No record matches." in said


def test_the_page_is_marked_up_for_those_who_do_not_see_it(browse: Browse, compared: vk.Comparison) -> None:
    """A language, one main heading, a heading a query, tables with captions and headers of rows and columns."""
    dom = browse(page(compared))
    assert '<html lang="en">' in dom
    assert len(re.findall("<h1", dom)) == 1
    assert len(re.findall("<h2", dom)) == 1 + len(compared.queries)
    answers = re.findall(r"<table>.*?</table>", dom, re.DOTALL)
    assert len(answers) == 2 * len(compared.queries)
    for table in answers:
        assert "<caption>" in table
        assert len(re.findall('<th scope="col"', table)) == 3
        assert len(re.findall('<th scope="row"', table)) == len(re.findall("<tr", table)) - 1
    for number in range(1, len(compared.queries) + 1):
        assert f'href="#q{number}"' in dom
        assert f'id="q{number}"' in dom


def test_what_documents_hold_is_text(browse: Browse, compared: vk.Comparison) -> None:
    """Also a script and a picture: nothing runs, and nothing becomes an element."""
    dom = browse(page(compared))
    assert "<title>docs: answers differ</title>" in dom
    assert not re.search(r"<(script|img|link|iframe|object|base)\b", dom)
    assert HOSTILE in text_of(dom)
    assert "default-src 'none'" in dom


class _Proxy(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(_Recording, self.asked))


class _Recording(BaseHTTPRequestHandler):
    """Notes what it is asked for, and has nothing."""

    def __init__(self, asked: list[str], *given: Any) -> None:
        self.asked = asked
        super().__init__(*given)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def do_CONNECT(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[_Proxy]:
    with _Proxy() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_page_asks_for_nothing(browse: Browse, compared: vk.Comparison, proxy: _Proxy) -> None:
    """Every request would go through the proxy, as that for a picture in another page does."""

    def asked(content: str) -> list[str]:
        proxy.asked.clear()
        browse(content, f"--proxy-server=127.0.0.1:{proxy.server_port}")
        # The browser asks its maker for the time, and for news of itself, whatever the page.
        return [url for url in proxy.asked if not re.search(r"\b(google|googleapis|gstatic)\.com\b", url)]

    assert asked(page(compared)) == []
    assert asked("<img src='http://pictures.invalid/a.png'>") == ["http://pictures.invalid/a.png"]
    assert not re.search(r'(src|srcset|href|action|data|poster)="(?!#)', page(compared))
    assert not re.search(r"url\(|@import", page(compared))


MEASURE = """<!doctype html><iframe style="width: 375px; height: 800px; border: 0" srcdoc="{page}"></iframe>
<output></output><script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  for (const each of frame.contentDocument.querySelectorAll("details")) each.open = true;
  const whole = frame.contentDocument.documentElement;
  const below = frame.contentDocument.querySelectorAll(".answers > table");
  document.querySelector("output").value = [
    whole.scrollWidth, whole.clientWidth, below[1].getBoundingClientRect().top > below[0].getBoundingClientRect().top
  ].join(" ");
}});
</script>"""


def test_nothing_overflows_on_a_phone(browse: Browse, compared: vk.Comparison) -> None:
    """At 375 pixels, with all folded text unfolded, the two answers one below the other; without its style it would."""

    def measured(content: str) -> tuple[int, int, str]:
        dom = browse(MEASURE.format(page=escape(content)))
        found = re.search(r"<output>(\d+) (\d+) (\w+)</output>", dom)
        assert found is not None, dom[-500:]
        return int(found[1]), int(found[2]), found[3]

    whole = page(compared)
    width, visible, below = measured(whole)
    assert visible <= 375
    assert width <= visible
    assert below == "true"
    assert measured(whole.replace("overflow-wrap: anywhere", ""))[0] > visible


@pytest.mark.parametrize(("scheme", "paper"), [("0", "rgb(18, 22, 27)"), ("1", "rgb(255, 255, 255)")])
def test_the_page_is_light_or_dark_as_the_system_is(
    browse: Browse, compared: vk.Comparison, scheme: str, paper: str
) -> None:
    content = f"""<!doctype html><iframe srcdoc="{escape(page(compared))}"></iframe><output></output><script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  document.querySelector("output").value =
    frame.contentWindow.getComputedStyle(frame.contentDocument.body).backgroundColor;
}});
</script>"""
    assert f"<output>{paper}</output>" in browse(content, f"--blink-settings=preferredColorScheme={scheme}")
