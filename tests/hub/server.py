"""A small HTTP server that speaks the hub's protocol, for the real huggingface_hub client.

Routes, as the hub has them: ``/api/models/<repo>[/revision/<rev>]``, ``/api/models/<repo>/tree/<rev>``,
``/api/models/<repo>/refs``, ``/<repo>/resolve/<rev>/<file>``; large files are redirected to ``/cdn/<sha256>``. Every
request is logged, so that tests can count them and see what was asked for and how much was sent.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.faults import Fault, Faults
from tests.hub.repository import HubFile, Repository, read_folder

TOKEN = "hf_has_access"
STRANGER = "hf_without_access"
API = re.compile(r"/api/models/(?P<repo>[^/]+(?:/[^/]+)?)(?:/(?P<what>revision|tree)/(?P<rest>.+)|/(?P<refs>refs))?")
RESOLVE = re.compile(r"/(?P<repo>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass
class Request:
    """One request and how it is answered: ``range`` as asked, ``sent`` bytes of body, the fault it met."""

    method: str
    path: str
    range: str
    fault: str
    status: int = 0
    sent: int = 0


class Hub:
    """The server with its repositories, its log and its faults. ``repositories`` are added with ``publish``."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        self._log: list[Request] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def publish(self, name: str, content: Path | dict[str, bytes], *, private=False, gated=False, **where) -> str:
        """A commit of this content; the repository is made when it is new. Returns the commit."""
        repository = self.repositories.setdefault(name, Repository(name, private, gated))
        return repository.publish(content if isinstance(content, dict) else read_folder(content), **where)

    @property
    def requests(self) -> list[Request]:
        with self._lock:
            return list(self._log)

    def forget(self) -> None:
        """An empty log and no faults, for the next test."""
        with self._lock:
            self._log.clear()
        self.faults.clear()

    def record(self, request: Request) -> None:
        with self._lock:
            self._log.append(request)

    def bodies(self, pattern: str = "") -> list[Request]:
        """The GET requests for file contents whose path matches, redirects not counted."""
        return [
            request
            for request in self.requests
            if request.method == "GET"
            and not request.path.startswith("/api/")
            and request.status not in (302, 307)
            and re.search(pattern, request.path)
        ]

    def large_file(self, sha256: str) -> HubFile | None:
        for repository in self.repositories.values():
            for files in repository.commits.values():
                for file in files.values():
                    if file.is_large and file.sha256 == sha256:
                        return file
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: Hub

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_) -> None: ...

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def _handle(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        self._fault = self.server.hub.faults.take(f"{self.command} {path}")
        fault = self._fault.kind if self._fault else ""
        self._request = Request(self.command, path, self.headers.get("Range", ""), fault)
        self.server.hub.record(self._request)
        if not self._broken_before_the_answer():
            self._route(path, query)

    def _broken_before_the_answer(self) -> bool:
        fault = self._fault
        if fault is None or fault.kind not in ("status", "drop", "stall"):
            return False
        if fault.kind == "status":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._answer(fault.status, b"out of order", headers)
        elif fault.kind == "drop":
            self._reset()
        else:
            self._stall()
        return True

    def _stall(self) -> None:
        self.server.hub.closing.wait(30)
        self.close_connection = True

    def _reset(self) -> None:
        """End the connection with a TCP reset instead of an orderly end."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        if path.startswith("/cdn/"):
            assert "Authorization" not in self.headers
            file = self.server.hub.large_file(path.removeprefix("/cdn/"))
            return self._content(file, {}) if file else self._error(404, "EntryNotFound", "no such object")
        if match := API.fullmatch(path):
            return self._api(match, query)
        if match := RESOLVE.fullmatch(path):
            return self._resolve(match)
        return self._error(404, "", "no such page")

    def _repository(self, name: str) -> Repository | None:
        """The repository, or None after the answer that the hub gives for one that cannot be seen."""
        repository = self.server.hub.repositories.get(name)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in (TOKEN, STRANGER):
            self._error(401, "", "Invalid credentials in Authorization header")
            return None
        if repository is None or (repository.is_private and token != TOKEN):
            # The hub doesn't tell a stranger whether a repository exists.
            if token:
                self._error(404, "RepoNotFound", "Repository not found")
            else:
                self._error(401, "", "Invalid username or password.")
            return None
        return repository

    def _api(self, match: re.Match[str], query: dict[str, list[str]]) -> None:
        repository = self._repository(match["repo"])
        if repository is None:
            return None
        if match["refs"]:
            return self._json(repository.refs())
        revision, _, folder = (match["rest"] or "main").partition("/")
        if match["what"] == "revision":
            revision, folder = match["rest"], ""
        commit = repository.commit(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repository.commits[commit]
        if match["what"] == "tree":
            return self._json([file.tree_entry() for path, file in files.items() if path.startswith(folder)])
        with_blobs = query.get("blobs", ["false"])[0].lower() in ("true", "1")
        return self._json(
            {
                "id": repository.name,
                "modelId": repository.name,
                "sha": commit,
                "private": repository.is_private,
                "gated": "manual" if repository.is_gated else False,
                "cardData": {"license": "apache-2.0"},
                "siblings": [file.sibling(with_blobs) for file in files.values()],
            }
        )

    def _resolve(self, match: re.Match[str]) -> None:
        repository = self._repository(match["repo"])
        if repository is None:
            return None
        commit = repository.commit(match["revision"])
        if commit is None:
            return self._error(404, "RevisionNotFound", "Invalid rev id")
        if repository.is_gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 403 if self.headers.get("Authorization") else 401
            return self._error(status, "GatedRepo", f"Access to model {repository.name} is restricted.")
        file = repository.commits[commit].get(match["path"])
        if file is None:
            return self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        if not file.is_large:
            return self._content(file, {"X-Repo-Commit": commit})
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{file.etag}"',
            "X-Linked-Size": str(len(file.content)),
            # Another host, as the real one: tokens must not follow.
            "Location": f"http://localhost:{self.server.server_port}/cdn/{file.sha256}",
        }
        return self._answer(302, b"", headers)

    def _content(self, file: HubFile, headers: dict[str, str]) -> None:
        content, status = file.content, 200
        headers = {**headers, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            if first >= len(content):
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        return self._answer(status, content, headers)

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        named = {"X-Error-Code": code} if code else {}
        body = json.dumps({"error": message}).encode()
        self._answer(status, body, {"X-Error-Message": message, **named, **(headers or {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        fault = self._fault
        if fault and fault.kind == "corrupt":
            body = bytes(byte ^ 0x55 for byte in body)
        if fault and fault.kind == "truncate" and status < 300:
            body = body[: len(body) // 2]
        self._request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send(body, fault)

    def _send(self, body: bytes, fault: Fault | None) -> None:
        broken = fault is not None and fault.kind in ("cut", "reset", "stall-body")
        part = body[: len(body) // 2] if broken else body
        with contextlib.suppress(OSError):
            self._request.sent = len(part)
            self.wfile.write(part)
            self.wfile.flush()
        if not broken:
            return
        if fault.kind == "stall-body":
            self._stall()
        elif fault.kind == "reset":
            # A reset throws away what the client has not read yet: give it a moment, so that there is a body to cut.
            self.server.hub.closing.wait(0.1)
            self._reset()
        else:
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True
