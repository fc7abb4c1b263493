"""Objects behind the API server's list and watch protocol: versions, pages, history, bookmarks, compaction."""

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kube.scripted import CHUNKED_END, CHUNKED_HEAD, Asked, answer, chunk

Document = dict[str, Any]


class ListStore:
    """Versioned objects of one kind. `changed` wakes whoever waits for requests or watches."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.version = 0
        self.forgotten = 0
        self.lists = 0
        self.watches: list[int] = []
        self.before_page: Callable[[int], None] = lambda _: None
        self.page_answers: list[bytes] = []
        self.page_objects = 2
        self.watch_answer: bytes | None = None
        self.ends_at_once = False
        self._listed: dict[str, tuple[int, list[Document]]] = {}
        self._history: list[tuple[int, bytes]] = []
        self._news = asyncio.Event()
        self._quiet = False

    # What tests do to it

    def put(self, name: str, uid: str, **fields: object) -> None:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        meta = {"name": name, "namespace": "a", "uid": uid, "resourceVersion": str(self.version)}
        self.objects[name] = {"metadata": meta, "spec": {"nodeName": "n1", **fields}}
        self._log({"type": kind, "object": self.objects[name]})

    def remove(self, name: str) -> None:
        gone = self.objects.pop(name)
        self.version += 1
        meta = {**gone["metadata"], "resourceVersion": str(self.version)}
        self._log({"type": "DELETED", "object": {**gone, "metadata": meta}})

    def unseen(self, change: Callable[[], None]) -> None:
        """Let something happen that no watch will ever tell."""
        kept = list(self._history)
        change()
        self._history = kept

    def bookmark(self) -> None:
        self.version += 1
        meta = {"resourceVersion": str(self.version)}
        self._log({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": meta}})

    def say(self, line: bytes) -> None:
        """Put any line on watches."""
        self.version += 1
        self._history.append((self.version, line))
        self.wake()

    def forget_history(self) -> None:
        """Compact: nothing older than now can be watched from."""
        self.forgotten = self.version
        self._history.clear()

    def _log(self, event: Document) -> None:
        self._history.append((self.version, json.dumps(event).encode()))
        self.wake()

    def wake(self) -> None:
        if not self._quiet:
            self._news.set()
            self._news = asyncio.Event()

    @contextmanager
    def at_once(self) -> Generator[None]:
        """Tell what happens inside all at once, afterwards."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False
            self.wake()

    async def news(self) -> None:
        await self._news.wait()

    # What the API server does

    async def handle(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        query = {k: v[0] for k, v in parse_qs(urlsplit(asked.target).query).items()}
        if "watch" in query:
            await self._watch(int(query["resourceVersion"]), writer)
        else:
            self._list(query, writer)
        self.wake()

    def _list(self, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if self.page_answers:
            writer.write(self.page_answers.pop())
            return
        start, _, moment = query.get("continue", "0/").partition("/")
        if not moment:
            self.lists += 1
            moment = str(self.lists)
            self._listed[moment] = (self.version, [self.objects[name] for name in sorted(self.objects)])
        version, objects = self._listed[moment]
        end = int(start) + min(int(query["limit"]), self.page_objects)
        meta = {"resourceVersion": str(version), "continue": f"{end}/{moment}" if end < len(objects) else ""}
        writer.write(answer(json.dumps({"metadata": meta, "items": objects[int(start) : end]}).encode()))
        self.before_page(end)

    async def _watch(self, version: int, writer: asyncio.StreamWriter) -> None:
        self.watches.append(version)
        if self.watch_answer is not None:
            writer.write(self.watch_answer)
            self.watch_answer = None
            return
        writer.write(CHUNKED_HEAD)
        self.wake()
        if version < self.forgotten:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            writer.write(chunk(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n") + CHUNKED_END)
            return
        if self.ends_at_once:
            writer.write(CHUNKED_END)
            return
        sent = 0
        while not writer.is_closing():
            news = self._news
            lines = [line for at, line in self._history if at > version]
            if lines[sent:]:
                writer.write(b"".join(chunk(line + b"\n") for line in lines[sent:]))
            sent = len(lines)
            await writer.drain()
            await news.wait()
