"""A small Hugging Face Hub behind a real socket, which can misbehave in named ways.

Speaks what `tercet pull` and `huggingface_hub` ask of a Hub: a repository's files with sizes and
checksums, and the files themselves with ranges. Large files redirect, as the real one's do.
"""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 39 + "1"


@dataclass
class FakeHub:
    """What the Hub holds, and how it behaves.

    Attributes:
        files: contents by path; a path that ends in .safetensors or .gguf is stored as LFS.
        revisions: names by which the one commit is known.
        break_after: bytes of a large file after which the connection ends, once per item.
        wrong: paths whose bytes differ from what their checksums say.
        gated: no access without the right token.
        has_repo: false: there is no such repository.
        status: answer everything with this status.
        seconds_per_chunk: wait before each 64 kB.
        ignores_ranges: send whole files, whatever was asked.
        cdn: address of another host to which large files redirect.
        asked: method, path and Range of every request.
        keys: Authorization of every request.
    """

    files: dict[str, bytes]
    repo: str = "org/name"
    revisions: set[str] = field(default_factory=lambda: {"main", COMMIT})
    break_after: list[int] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    gated: bool = False
    token: str = "hf_right"
    has_repo: bool = True
    status: int = 0
    seconds_per_chunk: float = 0.0
    ignores_ranges: bool = False
    cdn: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""

    @property
    def fetched(self) -> list[str]:
        """Names of files whose contents were asked for, in order."""
        return [path.rsplit("/", 1)[-1] for method, path, _ in self.asked if "/resolve/" in path]

    def siblings(self) -> list[dict[str, object]]:
        return [self._sibling(path, content) for path, content in self.files.items()]

    def _sibling(self, path: str, content: bytes) -> dict[str, object]:
        found: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": "c" * 40}
        if is_large(path):
            sha256 = checksum(path, content)
            found["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
        else:
            found["blobId"] = checksum(path, content)
        return found


def is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".gguf"))


def checksum(path: str, content: bytes) -> str:
    """What the Hub calls a content by: SHA-256 of large files, git's name of others."""
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, has_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        key = self.headers.get("Authorization")
        self.hub.keys.append(key)
        refusal = self._refusal(path, key)
        if refusal:
            self._refuse(*refusal)
        elif path.startswith("/cdn/"):
            self._send(path.removeprefix("/cdn/"), has_body=has_body)
        elif path.startswith("/api/models/"):
            self._describe()
        elif is_large(path):
            self._redirect(path.partition("/resolve/")[2].partition("/")[2])
        else:
            self._send(path.partition("/resolve/")[2].partition("/")[2], has_body=has_body)

    def _refusal(self, path: str, key: str | None) -> tuple[int, str] | None:
        hub = self.hub
        _, _, revision_and_name = path.partition("/resolve/")
        revision, _, name = revision_and_name.partition("/")
        revision = revision or path.partition("/revision/")[2] or "main"
        refusals = [
            (bool(hub.status), hub.status, ""),
            (not hub.has_repo or hub.repo not in path, 404 if key else 401, "RepoNotFound"),
            (hub.gated and key != f"Bearer {hub.token}", 403 if key else 401, "GatedRepo"),
            (revision not in hub.revisions, 404, "RevisionNotFound"),
            (bool(name) and name not in hub.files, 404, "EntryNotFound"),
        ]
        if path.startswith("/cdn/") and not hub.status:
            return None
        return next(((status, code) for is_so, status, code in refusals if is_so), None)

    def _describe(self) -> None:
        info = {"id": self.hub.repo, "sha": COMMIT, "siblings": self.hub.siblings()}
        body = json.dumps(info).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, name: str) -> None:
        content = self.hub.files[name]
        self.send_response(302)
        self.send_header("Location", f"{self.hub.cdn or self.hub.url}/cdn/{name}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag", f'"{checksum(name, content)}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, name: str, *, has_body: bool) -> None:
        content = self.hub.files[name]
        if name in self.hub.wrong:
            content = bytes(byte ^ 1 for byte in content)
        start = 0
        asked = self.headers.get("Range", "")
        if asked and not self.hub.ignores_ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{checksum(name, self.hub.files[name])}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if has_body:
            self._write(name, content[start:])

    def _write(self, name: str, content: bytes) -> None:
        breaks = self.hub.break_after.pop(0) if is_large(name) and self.hub.break_after else None
        sent = content if breaks is None else content[:breaks]
        with contextlib.suppress(OSError):
            for place in range(0, len(sent), 1 << 16):
                self.wfile.write(sent[place : place + (1 << 16)])
                if self.hub.seconds_per_chunk:
                    self.wfile.flush()
                    time.sleep(self.hub.seconds_per_chunk)
        if breaks is not None:
            self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve on a free port of this host."""
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
