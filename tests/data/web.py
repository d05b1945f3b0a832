"""A web server of this machine only, with and without resumable downloads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server has, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    resumable: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of each request."""
    address: str = ""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve `site` on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            span = self.headers.get("Range")
            site.requests.append((self.path, span))
            if self.path in site.redirects:
                self._answer(302, b"", Location=site.redirects[self.path])
            elif self.path not in site.files:
                self._answer(404, b"")
            else:
                self._file(site.files[self.path], span)

        def _file(self, content: bytes, span: str | None) -> None:
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
            if not span or not site.resumable:
                self._answer(200, content)
            elif start >= len(content):
                self._answer(416, b"")
            else:
                self._answer(206, content[start:])

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
