"""A server on loopback that gives files, and misbehaves as it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does; `seen` holds path, Range and If-Range of every request."""

    content: bytes = b""
    tag: str = '"one"'
    break_after: list[int] = field(default_factory=list)
    """Bytes after which each of the next answers breaks off."""
    stated_length: int | None = None
    knows_ranges: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[int]] = field(default_factory=dict)
    """Path -> codes of the next answers."""
    chunked: bool = False
    seen: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)


@dataclass
class Server:
    """Where it is and what it does."""

    address: str
    behaviour: Behaviour


@contextmanager
def serve(behaviour: Behaviour) -> Iterator[Server]:
    class Handler(_Handler):
        plan = behaviour

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", behaviour)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    plan: Behaviour

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        plan, path = self.plan, self.path.partition("?")[0]
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        plan.seen.append((self.path, wanted, condition))
        plan.authorizations.append(self.headers.get("Authorization"))
        if plan.errors.get(path):
            self.send_error(plan.errors[path].pop(0))
            return
        if path in plan.redirects:
            self.send_response(302)
            self.send_header("Location", plan.redirects[path])
            self.end_headers()
            return
        start = 0
        if wanted and plan.knows_ranges and condition in (None, plan.tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(plan.content):
                self.send_error(416)
                return
        self._send(plan.content[start:], start)

    def _send(self, body: bytes, start: int) -> None:
        plan = self.plan
        self.send_response(206 if start else 200)
        self.send_header("ETag", plan.tag)
        if start:
            last = len(plan.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(plan.content)}")
        if not plan.chunked:
            self.send_header("Content-Length", str(plan.stated_length or len(body)))
        self.end_headers()
        if plan.break_after:
            body = body[: plan.break_after.pop(0)]
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = True
