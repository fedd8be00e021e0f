"""Where the stand-in for the Hub has large files: reached by links, over connections that can be made to fail."""

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Fault:
    """What goes wrong with the next request to the storage, once.

    Attributes:
        method: of the request.
        skip: how many of them go well before.
        after_bytes: of the content that still get through; then the connection is closed.
        reached: set when it goes wrong.
        released: what the connection waits for before it is closed, so that a test can end the client first.
    """

    method: str
    skip: int = 0
    after_bytes: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event | None = None


class Handler(BaseHTTPRequestHandler):
    """What both servers do with a request."""

    protocol_version = "HTTP/1.1"
    hub: Any

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def answer(self, status: int, body: bytes = b"", **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, document: Any, status: int = 200, **headers: Any) -> None:
        self.answer(status, json.dumps(document).encode(), Content_Type="application/json", **headers)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class StorageHandler(Handler):
    """Large files by their hash; whoever has a link may read or write."""

    def do_PUT(self) -> None:
        """Take a file, or a part of one."""
        assert "Authorization" not in self.headers
        sha256, query = self._name()
        fault = self.hub.next_fault("PUT")
        if fault is not None:
            self.rfile.read(fault.after_bytes)
            self._break(fault)
            return
        content = self.body()
        if "part" in query:
            self.hub.store.add_part(sha256, int(query["part"][0]), content)
        elif self.hub.store.add_object(content) == sha256:
            self.hub.store.repositories[query["repo"][0]].uploads.append(sha256)
        else:
            self.answer(400)
            return
        self.answer(200, ETag=f'"{sha256}-{query.get("part", ["0"])[0]}"')

    def do_GET(self) -> None:
        """Give a file, or what is left of it from a byte on."""
        assert "Authorization" not in self.headers
        sha256, _ = self._name()
        content = self.hub.store.object_path(sha256).read_bytes()
        first, headers = 0, {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"}
        if asked := self.headers.get("Range"):
            self.hub.ranges.append(asked)
            first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        fault = self.hub.next_fault("GET")
        if fault is None:
            self.answer(206 if asked else 200, content[first:], **headers)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : first + fault.after_bytes])
        self._break(fault)

    def _name(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        return url.path.removeprefix("/"), parse_qs(url.query)

    def _break(self, fault: Fault) -> None:
        self.wfile.flush()
        fault.reached.set()
        if fault.released is not None:
            fault.released.wait(60)
        self.close_connection = True
