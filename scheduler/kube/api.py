"""Access to the API server: requests with a whole answer, and watches as lines. All traffic goes through here."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

import msgspec

from scheduler.kube.http import HttpError, HttpPool, Method, Reply, Target
from scheduler.kube.login import Access, LoginError, read_access
from scheduler.version import VERSION

JSON = "application/json"

UNAUTHORIZED = 401

LINE_LIMIT_BYTES = 64 * 1024 * 1024
"""The longest line of a watch. etcd keeps objects below 1.5 MiB; more than this is no watch."""

ERROR_TEXT_LIMIT = 2048

TOO_MANY = 429

_PATH = re.compile(r"/[!-~]*\Z")
_HEADER_VALUE = re.compile(r"[ -~]+\Z")


class ApiError(Exception):
    """The API server did not do what was asked."""


class ApiUnreachableError(ApiError):
    """No whole answer came: the request may or may not have been carried out."""


class ApiRefusedError(ApiError):
    """The API server answered with a failure: HTTP `status`, and `reason` and `message` of its Status object."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


Response = Reply
"""HTTP status (200 to 299) and body of an answer."""


class _Cause(msgspec.Struct):
    message: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


class _Failure:
    """What a stream was refused with; status 0 where it was not."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""


class ApiClient:
    """A client of one API server, made by `connect`. Close it, or use it as an async context manager.

    A credential that ends is read again in time, and once more when the server does not accept it.
    """

    def __init__(
        self,
        read: Callable[[], Access],
        access: Access,
        *,
        parallel: int,
        timeout_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._access = access
        self._monotonic_s = monotonic_s
        self._read_at_s = monotonic_s()
        self._rereading = asyncio.Lock()
        self._timeout_s = timeout_s
        self._prefix, self._fixed = _fixed_parts(access)
        self._pool = HttpPool(_target(access), parallel=parallel, connect_timeout_s=timeout_s)

    @classmethod
    async def connect(cls, kubeconfig: Path | None, *, parallel: int = 64, timeout_s: float = 10.0) -> Self:
        """A client for the current context of `kubeconfig`, or for the cluster this pod runs in where it is None.

        At most `parallel` requests are under way at once, watches not counted. `timeout_s` holds for connecting, and
        for each request from its start on a connection to the end of its answer. Nothing is sent yet.

        Raises:
            LoginError: the credentials cannot be used.
        """

        def read() -> Access:
            return read_access(kubeconfig, now_s=time.time())

        return cls(read, await asyncio.to_thread(read), parallel=parallel, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop all connections; requests under way fail."""
        await self._pool.close()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._access.server

    async def request(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout_s: float | None = None,
    ) -> Response:
        """One request; its answer where the status is 200 to 299. `accept`: in which encoding it is to be.

        Raises:
            ApiUnreachableError: no whole answer came in time; a write may or may not have been carried out.
            ApiRefusedError: the answer is a failure.
        """
        kinds = accept, content_type
        reply = await self._attempt(method, path, query, body, kinds, timeout_s)
        if reply.status == UNAUTHORIZED and await self._reread(at_least=True):
            reply = await self._attempt(method, path, query, body, kinds, timeout_s)
        if not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body)
        return reply

    async def stream(self, path: str, query: Mapping[str, str], *, silence_s: float) -> AsyncGenerator[bytes, None]:
        """The lines of a GET whose answer goes on, as of a watch. Ends when the server ends it between two lines.

        Close it (`contextlib.aclosing`) when it is not read to its end.

        Raises:
            ApiUnreachableError: the connection broke, or nothing came for `silence_s`.
            ApiRefusedError: the answer is a failure.
        """
        await self._reread(at_least=False)
        failure = _Failure()
        try:
            async with aclosing(self._lines(path, query, silence_s, failure)) as lines:
                async for line in lines:
                    yield line
        except TimeoutError as err:
            raise ApiUnreachableError(f"GET {path}: nothing came for {silence_s} s") from err
        except HttpError as err:
            raise ApiUnreachableError(f"GET {path}: {err}") from err
        if failure.status == UNAUTHORIZED:
            await self._reread(at_least=True)
        if failure.status:
            raise refusal(failure.status, failure.body)

    async def _lines(
        self, path: str, query: Mapping[str, str], silence_s: float, failure: "_Failure"
    ) -> AsyncGenerator[bytes, None]:
        rest = b""
        async with aclosing(self._pool.stream(self._request_bytes("GET", path, query, None, (JSON, JSON)))) as parts:
            while True:
                async with asyncio.timeout(silence_s):
                    part = await anext(parts, None)
                if part is None:
                    break
                status, data = part
                if not 200 <= status < 300:
                    failure.status = status
                    failure.body += data
                    continue
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                if len(rest) > LINE_LIMIT_BYTES:
                    raise HttpError(f"a line is longer than {LINE_LIMIT_BYTES} bytes")
                for line in filter(None, lines):
                    yield line
        if rest:
            raise HttpError("the answer ended inside a line")

    async def _attempt(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        kinds: tuple[str, str],
        timeout_s: float | None,
    ) -> Reply:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        if self._access.reread_s is not None:
            await self._reread(at_least=False)
        request = self._request_bytes(method, path, query, body, kinds)
        try:
            return await self._pool.exchange(request, repeatable=method == "GET", limit_s=limit_s)
        except TimeoutError as err:
            raise ApiUnreachableError(f"{method} {path}: no answer within {limit_s} s") from err
        except HttpError as err:
            raise ApiUnreachableError(f"{method} {path}: {err}") from err

    def _request_bytes(
        self, method: Method, path: str, query: Mapping[str, str] | None, body: bytes | None, kinds: tuple[str, str]
    ) -> bytes:
        accept, content_type = kinds
        if not _PATH.match(path):
            raise ValueError(f"path is {path!r}; it must start with / and hold printable ASCII alone")
        whole = f"{self._prefix}{path}?{urlencode(query)}" if query else f"{self._prefix}{path}"
        if body is None:
            return f"{method} {whole} HTTP/1.1\r\n{self._fixed}Accept: {accept}\r\n\r\n".encode("ascii")
        head = f"Accept: {accept}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        return f"{method} {whole} HTTP/1.1\r\n{self._fixed}{head}".encode("ascii") + body

    async def _reread(self, *, at_least: bool) -> bool:
        """Read the credential again if its time has come, or in any case where `at_least`; whether it changed."""
        seen = self._access
        due = seen.reread_s is not None and self._monotonic_s() - self._read_at_s >= seen.reread_s
        if not due and not at_least:
            return False
        async with self._rereading:
            if self._access is not seen:
                return True
            self._read_at_s = self._monotonic_s()
            try:
                access = await asyncio.to_thread(self._read)
                self._access = access
                self._prefix, self._fixed = _fixed_parts(access)
                if _connection_part(access) != _connection_part(seen):
                    self._pool.retarget(_target(access))
            except LoginError as err:
                if due and not at_least:
                    return False
                raise ApiUnreachableError(f"the credential could not be read again: {err}") from err
        return access.authorization != seen.authorization or _connection_part(access) != _connection_part(seen)


def refusal(status: int, body: bytes) -> ApiRefusedError:
    """The failure that an answer's status and body tell of."""
    try:
        read = msgspec.json.decode(body, type=_Status)
        message = read.message or ""
        if status == TOO_MANY and read.details is not None:
            # Only here the API server names the disruption budget that an eviction would violate.
            message = " ".join([message, *(cause.message or "" for cause in read.details.causes or ())]).strip()
        return ApiRefusedError(status, read.reason or "", message[:ERROR_TEXT_LIMIT])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ApiRefusedError(status, "", body[:ERROR_TEXT_LIMIT].decode("utf-8", "replace").strip())


def _connection_part(access: Access) -> Access:
    return msgspec.structs.replace(access, authorization=None, reread_s=None)


def _target(access: Access) -> Target:
    parts = urlsplit(access.server)
    tls = access.tls()
    port = parts.port or (443 if tls is not None else 80)
    return Target(host=parts.hostname or "", port=port, tls=tls, server_name=access.server_name)


def _fixed_parts(access: Access) -> tuple[str, str]:
    """What every request carries: the path before the API's own, and headers."""
    parts = urlsplit(access.server)
    fixed = f"Host: {parts.netloc}\r\nUser-Agent: bayplan/{VERSION}\r\n"
    if access.authorization is not None:
        if not _HEADER_VALUE.match(access.authorization):
            raise LoginError("the credential holds characters that no HTTP header may have")
        fixed += f"Authorization: {access.authorization}\r\n"
    return parts.path.rstrip("/"), fixed
