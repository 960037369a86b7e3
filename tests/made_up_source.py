"""A source of made-up files on a server of this machine, and the recipe of a data set that is made of them."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from experiments.data import resuming
from experiments.data.contents import sha256
from experiments.data.recipe import Recipe
from experiments.data.sources import Source

FILES = {"texts/a.txt": b"one\ntwo\n" * 20_000, "labels.txt": b"x\ny\n"}
RESULTS = {"all.txt": FILES["texts/a.txt"] + FILES["labels.txt"], "labels.txt.gz": FILES["labels.txt"]}


def convert(folder):
    yield "all.txt", (folder / "texts/a.txt").read_bytes() + (folder / "labels.txt").read_bytes()
    yield "labels.txt.gz", (folder / "labels.txt").read_bytes()


@dataclass
class Server:
    """What it serves, and what it does wrong."""

    base: str
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    breaks_off_after: dict[str, int] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    busy: int = 0
    without_ranges: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def source(self, **changes) -> Source:
        files = {path: sha256(data) for path, data in FILES.items()}
        given = {"name": "made-up", "title": "somebody/made-up", "revision": "0123abcd", "home": self.base}
        return Source(**{**given, "files": files, "base": self.base, "obtain": "git clone made-up", **changes})

    def recipe(self, **changes) -> Recipe:
        files = {name: sha256(data) for name, data in RESULTS.items()}
        texts = {"about": "Made up.", "licence": "CC0", "citation": "Nobody, 2026"}
        given = {"name": "invented", "sources": (self.source(),), "convert": convert, "files": files, "size": 9}
        return Recipe(**{**texts, **given, **changes})


@contextmanager
def serving() -> Iterator[Server]:
    """A server of the files, which is asked again at once where it is busy."""
    with pytest.MonkeyPatch.context() as patched, ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        patched.setattr(resuming, "_BACKOFF", 0.0)
        server.state = Server(f"http://127.0.0.1:{server.server_port}/")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.state
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        state, path = self.server.state, self.path.removeprefix("/")
        wanted = self.headers.get("Range")
        state.asked.append((path, wanted))
        data = state.files.get(path)
        if state.busy:
            state.busy -= 1
            self.send_error(429)
            return
        if path in state.status or data is None:
            self.send_error(state.status.get(path, 404))
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and not state.without_ranges else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : state.breaks_off_after.get(path, len(data))])

    def log_message(self, *_):
        pass


def contents(folder):
    """The name and what is in each data file of a data set, decompressed."""
    read = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "README.md"}
    return {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in read.items()}
