"""A relay in front of the service that loses the first reply: the change is done, and whoever asked for it does not know."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Relay(BaseHTTPRequestHandler):
    def relay(self) -> None:
        assert isinstance(self.server, LosingServer)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = HTTPConnection(self.server.service, timeout=10)
        connection.request(self.command, self.path, body, {**dict(self.headers), "Connection": "close"})
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        self.close_connection = True
        self.server.replies.append(reply.status)
        if len(self.server.replies) == 1:
            return
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = relay

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the scenario says what happened."""


class LosingServer(ThreadingHTTPServer):
    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.service = service
        self.replies: list[int] = []


@contextmanager
def losing_the_first_reply(url: str) -> Iterator[tuple[str, list[int]]]:
    """Another address of the service, and the statuses that it answered there: the first of them arrives nowhere."""
    parts = urlsplit(url)
    with LosingServer(parts.netloc) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{parts.path}", server.replies
        server.shutdown()
