"""A real HTTP server on loopback that speaks the embeddings API, and does what a test tells it to."""

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from vectorkit.embedders import HashEmbedder

KEY = "sk-test-0123456789abcdef"


@dataclass
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        found: list[str] = self.body["input"]
        return found


@dataclass
class Reply:
    """What it is to get.

    Attributes:
        cut: Whether the connection is cut after half of the content.
    """

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut: bool = False


class Api:
    """The server's side: what it was sent, what it is to do, and its limits (a token is a byte here).

    Attributes:
        url: Its base URL.
        requests: What it was sent, in order.
        next: How to answer the next requests; after them, as `good` does.
        dimension: Of its vectors, unless a request says otherwise.
        shortens: Whether a request may say otherwise.
        hung_up: Set when the client of a request that is held closes the connection.
        release: Lets requests that are held go on.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.next: deque[Callable[[Request], Reply | None]] = deque()
        self.dimension = 1536
        self.shortens = True
        self.max_inputs = 2048
        self.max_tokens = 300_000
        self.reads = 8192
        self.hung_up = threading.Event()
        self.release = threading.Event()
        self.arrived = threading.Semaphore(0)
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply | None:
        with self._lock:
            self.requests.append(request)
            answer = self.next.popleft() if self.next else self.good
        self.arrived.release()
        return answer(request)

    def good(self, request: Request, change: Callable[[list[dict[str, Any]]], object] = len) -> Reply:
        """Vectors in base64, the last first; `change` may bend them."""
        if (problem := self._too_large(request)) is not None:
            return problem
        vectors = self.vectors(request.texts, request.body.get("dimensions") if self.shortens else None)
        items: list[dict[str, Any]] = [
            {"object": "embedding", "index": index, "embedding": base64.b64encode(vector.tobytes()).decode()}
            for index, vector in enumerate(vectors)
        ][::-1]
        change(items)
        tokens = sum(map(len, request.texts))
        answer = {"object": "list", "data": items, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        return Reply(json.dumps(answer).encode())

    def refuse(
        self, status: int, message: str = "no", code: str | None = None, **headers: str
    ) -> Callable[[Request], Reply]:
        """A reply with an error as OpenAI writes them."""
        content = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return lambda request: Reply(content, status, named)

    def changed(self, change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Request], Reply]:
        """A good answer but for what is done to its items."""
        return lambda request: self.good(request, change)

    def raw(self, content: bytes) -> Callable[[Request], Reply]:
        """Something else."""
        return lambda request: Reply(content)

    def cut(self, request: Request) -> Reply:
        """A good answer, of which the client gets half."""
        return Reply(self.good(request).content, cut=True)

    def held(self, request: Request) -> None:
        """No answer before `release`, or the client hangs up."""

    def vectors(self, texts: list[str], dimension: int | None = None) -> Any:
        """What the server makes of texts."""
        return HashEmbedder(dimension or self.dimension).embed_documents(texts).astype("<f4")

    def _too_large(self, request: Request) -> Reply | None:
        sizes = [len(text.encode()) for text in request.texts]
        if len(sizes) > self.max_inputs:
            said = f"Invalid 'input': array too long. Expected an array with maximum length {self.max_inputs}"
            return self.refuse(400, said, "array_above_max_length")(request)
        if sum(sizes) > self.max_tokens:
            said = f"Requested {sum(sizes)} tokens, max {self.max_tokens} tokens per request"
            return self.refuse(400, said, "max_tokens_per_request")(request)
        if max(sizes) > self.reads:
            said = f"This model's maximum context length is {self.reads} tokens, however you requested {max(sizes)}"
            return self.refuse(400, said)(request)
        return None


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A server, and an environment without settings for the client."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # the answer in one packet
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.path, headers, body)
            reply = server_side.answer(request)
            if reply is None:
                reply = self._hold(request)
            if reply is None:
                return
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content[: len(reply.content) // 2] if reply.cut else reply.content)
            self.close_connection = self.close_connection or reply.cut

        def _hold(self, request: Request) -> Reply | None:
            self.connection.settimeout(0.01)
            while not server_side.release.is_set():
                try:
                    if self.connection.recv(1) == b"":
                        server_side.hung_up.set()
                        self.close_connection = True
                        return None
                except TimeoutError:
                    continue
            self.connection.settimeout(None)
            return server_side.good(request)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server_side = Api(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server_side
    server_side.release.set()
    server.shutdown()
    thread.join()
    server.server_close()
