"""A server that quotes the headers of a request in its error: they hold tokens, and are not shown (rule 8.3)."""

import base64
import json
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import vectorkit as vk
from vectorkit_chroma import ChromaBackend

TOKEN = 'tok"en-0123456789'
PASSWORD = base64.b64encode(b"me:S3cr3t-0123456789").decode()


class _Quoting(BaseHTTPRequestHandler):
    """Refuses every request, and says what it was."""

    def do_GET(self) -> None:
        headers = dict(self.headers)
        said = {"error": "InternalError", "message": f"no such route, asked with {[*headers.values()]}"}
        body = json.dumps(said).encode()
        self.send_response(500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the error stream."""


@pytest.fixture
def quoting() -> Iterator[int]:
    """The port of such a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quoting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_token_that_the_server_quotes_is_not_shown(quoting: int, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"x-chroma-token": TOKEN, "Authorization": f"Basic {PASSWORD}"}
    with pytest.raises(vk.BackendError, match=r"\*\*\*") as raised:
        ChromaBackend(f"chroma+http://127.0.0.1:{quoting}", headers=headers)
    said = ["".join(traceback.format_exception(raised.value)), caplog.text]
    error: BaseException | None = raised.value
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert "no such route" in said[0]
    assert not any("0123456789" in text or PASSWORD in text for text in said)
