"""A gateway before a real Chroma server on loopback, that cuts, goes quiet or refuses when a test tells it to."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest


class Gateway:
    """What the gateway is to do.

    Attributes:
        url: Where it listens.
        requests: How many it was sent since this was set.
        cut: Which of them it cuts, counted from 1, and whether before the server has it or after it has answered;
            `"quiet"` sends half of the answer, and then nothing.
        max_body: Bytes of a request's body beyond which it answers 413, as nginx does.
        refused: Sizes of the bodies that it refused.
        release: Lets connections go that are quiet.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0
        self.cut: tuple[int, Literal["before", "after", "quiet"]] | None = None
        self.max_body: int | None = None
        self.refused: list[int] = []
        self.release = threading.Event()
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """How the next request is cut, if it is."""
        with self._lock:
            self.requests += 1
            return self.cut[1] if self.cut is not None and self.cut[0] == self.requests else None


@pytest.fixture
def gateway(chroma_http_url: str) -> Iterator[Gateway]:
    """A gateway that lets everything pass, before the session's Chroma server."""
    upstream = chroma_http_url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.server_side = http.client.HTTPConnection(upstream)

        def finish(self) -> None:
            super().finish()
            self.server_side.close()

        def forward(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            cut = state.next()
            if cut == "before":
                self.close_connection = True
                return
            if state.max_body is not None and len(content) > state.max_body:
                state.refused.append(len(content))
                self.answer(413, b"<html><center>413 Request Entity Too Large</center></html>", "text/html")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            self.server_side.request(self.command, self.path, content, headers)
            answer = self.server_side.getresponse()
            body = answer.read()
            if cut == "after":
                self.close_connection = True
            elif cut == "quiet":
                self.answer(answer.status, body, quiet=True)
                state.release.wait(30)
                self.close_connection = True
            else:
                self.answer(answer.status, body)

        def answer(self, status: int, body: bytes, kind: str = "application/json", *, quiet: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 413:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if quiet else body)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def log_message(self, format: str, *args: object) -> None:
            """Nothing to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Gateway(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.release.set()
    server.shutdown()
    thread.join()
    server.server_close()
