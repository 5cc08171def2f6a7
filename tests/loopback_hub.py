"""A model hub on 127.0.0.1 for tests: the routes that the hub's client uses, tiny repositories, faults on request.

The repositories have the names, revisions, file names, tensor names and table columns of the real ones, so that code
for a large machine runs unchanged, in seconds::

    with LoopbackHub() as hub:
        subprocess.run([sys.executable, "-c", code], env={**os.environ, **hub.env})

Or for one command from a shell: ``python -m tests.loopback_hub COMMAND...``. A fault is set for one file
(``hub.fail("model.safetensors", "cut", times=1)``); what was asked for stands in ``hub.log``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from tests.loopback_repositories import LARGE, Repo, etag, repositories

TOKEN = "hf_loopback"  # the access token that opens gated repositories


@dataclass
class Fault:
    """What to do wrong with the next ``times`` answers for files whose name fits ``pattern``.

    "cut" promises the whole file and closes the connection at its middle, "stall" falls silent there until the client
    has gone; "short" promises and sends half of the file;
    "corrupt" flips a bit; a number is sent as the HTTP status; "login" sends a page of HTML with status 200.
    """

    pattern: str
    what: str | int
    times: int


@dataclass(frozen=True)
class Request:
    """One request that arrived: its path without the query, its Range header, and the status that was sent."""

    method: str
    path: str
    range: str | None
    status: int


def described(repo: Repo, name: str) -> dict[str, str]:
    """The headers that say which file of which commit an answer is about."""
    tag = f'"{etag(name, repo.files[name])}"'
    if name.endswith(LARGE):
        return {"X-Repo-Commit": repo.sha, "X-Linked-Etag": tag, "X-Linked-Size": str(len(repo.files[name]))}
    return {"X-Repo-Commit": repo.sha, "ETag": tag}


class Server(ThreadingHTTPServer):
    """The server's state; handlers run in threads of their own."""

    daemon_threads = True
    hub: LoopbackHub


class Handler(BaseHTTPRequestHandler):
    """Answers like the hub: listings, redirects for large files, ranges, and its error codes."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet for a short answer: written in two, it waits 40 ms for an acknowledgement
    server: Server

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the requests are kept in the hub's log."""

    def answer(self) -> None:
        """Find the route of a request."""
        path = unquote(urlsplit(self.path).path).strip("/")
        if not path:
            return self.send(200, b"a hub")
        fault = self.server.hub.take_fault(path) if self.command == "GET" or "/resolve/" not in path else None
        if fault and isinstance(fault.what, int):
            return self.send(fault.what, b"")
        if fault and fault.what == "login":
            return self.send(200, b"<html>Please log in to the hotel's network.</html>")
        if path.startswith("api/"):
            return self.listing(*path.removeprefix("api/").split("/", 1))
        if path.startswith("cdn/"):
            repo, _, name = self.server.hub.find(path.removeprefix("cdn/"))
            return self.content(repo.files[name], fault, described(repo, name))
        return self.resolve(path, fault)

    def listing(self, kind: str, rest: str) -> None:
        """/api/models/ID, .../revision/REV and .../tree/REV."""
        head, _, revision = rest.partition("/revision/")
        tree = not revision and "/tree/" in rest
        if tree:
            head, _, revision = rest.partition("/tree/")
        repo = self.server.hub.repos.get((kind, head))
        if repo is None:
            return self.refuse(401, "RepoNotFound", "Repository not found")
        if revision not in ("", "main", repo.sha):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        answer = [repo.entry(name) for name in repo.files] if tree else repo.info()
        self.send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def resolve(self, path: str, fault: Fault | None) -> None:
        """/ID/resolve/REV/FILE, and the same below /datasets."""
        kind, path = ("datasets", path.removeprefix("datasets/")) if path.startswith("datasets/") else ("models", path)
        repo, revision, name = self.server.hub.find(f"{kind}/{path}")
        if repo is None:
            return self.refuse(401, "RepoNotFound", "Repository not found")
        if repo.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo", "Access is restricted")
        if revision not in ("main", repo.sha):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if name not in repo.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        content = repo.files[name]
        headers = described(repo, name)
        if name.endswith(LARGE):
            location = f"{self.server.hub.url}/cdn/{kind}/{repo.id}/resolve/{repo.sha}/{name}"
            return self.send(302, b"", headers | {"Location": location})
        self.content(content, fault, headers)

    def content(self, content: bytes, fault: Fault | None, headers: dict[str, str] | None = None) -> None:
        """A file or the range of it that was asked for, spoiled as the fault says."""
        what = fault.what if fault else ""
        if what == "corrupt":
            content = bytes([content[0] ^ 1]) + content[1:]
        elif what == "short":
            content = content[: len(content) // 2]
        start, headers = 0, headers or {}
        asked = self.headers.get("Range")
        if asked:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        cut = len(body) // 2 if what in ("cut", "stall") else None
        self.send(206 if asked else 200, body, headers, cut)
        if what == "stall":
            self.wfile.flush()
            self.rfile.read(1)  # returns when the client closes the connection

    def refuse(self, status: int, code: str, message: str) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": message})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        """An answer and its line in the log; with ``cut`` the connection ends after that many bytes of the body."""
        path = unquote(urlsplit(self.path).path)
        self.server.hub.log.append(Request(self.command, path, self.headers.get("Range"), status))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        self.close_connection = self.close_connection or cut is not None


@dataclass
class LoopbackHub:
    """A running hub, as a context manager. ``env`` sends a process to it, with a cache of its own.

    ``layers`` is the depth of the tiny encoder, ``train`` and ``test`` count the toy film reviews.
    """

    layers: int = 3
    train: int = 240
    test: int = 120
    log: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __enter__(self) -> LoopbackHub:
        self.home = Path(tempfile.mkdtemp(prefix="loopback-hub-"))
        self.repos = {(repo.kind, repo.id): repo for repo in repositories(self.layers, self.train, self.test)}
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def env(self) -> dict[str, str]:
        """Environment variables to lay over those of a process, before it imports anything of the hub's client."""
        return self.environment(self.home)

    def environment(self, home: Path) -> dict[str, str]:
        """The same with another folder for the cache."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
            "HF_DATASETS_CACHE": str(home / "datasets"),
            "HF_TOKEN": "",
            "HF_HUB_OFFLINE": "0",
            "TRANSFORMERS_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def fail(self, pattern: str, what: str | int, times: int = 1) -> None:
        """Spoil the next answers for paths that end in ``pattern`` (with the wildcards of a shell)."""
        self.faults.append(Fault(pattern, what, times))

    def take_fault(self, path: str) -> Fault | None:
        """The fault meant for this path, one use of it spent. A redirect to a file is no use of it."""
        if "/resolve/" in path and path.endswith(LARGE) and not path.startswith("cdn/"):
            return None
        for fault in self.faults:
            if fault.times > 0 and fnmatch(path, f"*{fault.pattern}"):
                fault.times -= 1
                return fault
        return None

    def find(self, path: str) -> tuple[Repo | None, str, str]:
        """The repository, revision and file name in KIND/ID/resolve/REV/FILE."""
        head, _, tail = path.partition("/resolve/")
        kind, _, name = head.partition("/")
        revision, _, file = tail.partition("/")
        return self.repos.get((kind, name)), revision, file

    def asked_for(self, pattern: str, method: str = "GET") -> list[Request]:
        """The requests so far for paths that end in ``pattern``, redirects left out."""
        fits = [one for one in self.log if one.method == method and fnmatch(one.path, f"*{pattern}")]
        return [one for one in fits if one.status != 302]

    def reset(self) -> None:
        """Forget faults and requests."""
        self.log.clear()
        self.faults.clear()


def main(command: list[str]) -> int:
    """Run a command that finds this hub, or without one print the variables and wait for Ctrl-C."""
    with LoopbackHub() as hub:
        if command:
            return subprocess.run(command, env={**os.environ, **hub.env}).returncode
        for name, value in hub.env.items():
            print(f"export {name}={value}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while True:
                time.sleep(60)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
