import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.version import VERSION
from tests.kube.scripted import (
    CHUNKED_END,
    CHUNKED_HEAD,
    Asked,
    ScriptedServer,
    answer,
    chunk,
    client_of,
    write_kubeconfig,
)


async def echo(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(asked.target.encode() + b"|" + asked.body))


async def test_a_request_carries_credential_query_and_body_and_gets_the_whole_answer(tmp_path: Path) -> None:
    async with ScriptedServer(echo).running() as server, client_of(server, tmp_path) as api:
        response = await api.request(
            "PATCH", "/api/v1/x", query={"a": "b c"}, body=b"{}", content_type="application/merge-patch+json"
        )
    assert (response.status, response.body) == (200, b"/api/v1/x?a=b+c|{}")
    headers = server.asked[0].headers
    assert headers["authorization"] == "Bearer t0"
    assert headers["content-type"] == "application/merge-patch+json"
    assert headers["user-agent"] == f"bayplan/{VERSION}"
    assert headers["accept"] == "application/json"


async def test_connections_are_kept_and_never_more_than_allowed(tmp_path: Path) -> None:
    under_way = most = 0
    full = asyncio.Event()

    async def count(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 4:
            full.set()
        await full.wait()
        under_way -= 1
        writer.write(answer(b""))

    async with ScriptedServer(count).running() as server, client_of(server, tmp_path, parallel=4) as api:
        await asyncio.gather(*(api.request("GET", "/x") for _ in range(60)))
    assert (most, server.connections, len(server.asked)) == (4, 4, 60)


async def test_a_failure_tells_status_reason_and_message(tmp_path: Path) -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b'{"kind":"Status","reason":"Conflict","message":"uid is other"}', "409 Conflict"))

    async with ScriptedServer(refuse).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiRefusedError) as caught:
            await api.request("POST", "/x", body=b"{}")
    assert (caught.value.status, caught.value.reason, caught.value.message) == (409, "Conflict", "uid is other")


async def test_a_failure_that_is_no_json_is_told_as_it_came(tmp_path: Path) -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"upstream down \xff\n", "502 Bad Gateway"))

    async with ScriptedServer(refuse).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiRefusedError, match="502: upstream down"):
            await api.request("GET", "/x")


@pytest.mark.parametrize(("method", "answered"), [("GET", True), ("PATCH", False)])
async def test_only_a_read_goes_out_twice_when_the_idle_connection_proves_dead(
    tmp_path: Path, method: str, answered: bool
) -> None:
    async def once_a_connection(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if sum(a.connection == asked.connection for a in server.asked) > 1:
            writer.close()
        else:
            writer.write(answer(b""))

    async with ScriptedServer(once_a_connection).running() as server, client_of(server, tmp_path) as api:
        await api.request("GET", "/first")
        if answered:
            await api.request("GET", "/second")
        else:
            with pytest.raises(ApiUnreachableError, match="PATCH /second: the peer closed the connection"):
                await api.request("PATCH", "/second", body=b"{}")
    assert [a.target for a in server.asked].count("/second") == 1 + answered


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again(tmp_path: Path) -> None:
    async with ScriptedServer(echo).running() as server, client_of(server, tmp_path) as api:
        await api.request("GET", "/x")
        server.hang_up()
        while server.connections == 1:
            await api.request("PATCH" if server.connections > 1 else "GET", "/x")
        await api.request("PATCH", "/y", body=b"1")
    assert server.asked[-1].target == "/y"


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        pytest.param(b"SSH-2.0-x\r\n\r\n", "no HTTP", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "closed the connection", id="cut body"),
        pytest.param(b"", "closed the connection", id="nothing"),
    ],
)
async def test_an_answer_that_is_not_whole_is_unreachable(tmp_path: Path, garbage: bytes, said: str) -> None:
    async def send(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        writer.close()

    async with ScriptedServer(send).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiUnreachableError, match=said):
            await api.request("GET", "/x")


async def test_no_answer_in_time_and_nobody_there_are_unreachable(tmp_path: Path) -> None:
    async def sleep(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with ScriptedServer(sleep).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiUnreachableError, match=r"PATCH /x: no answer within 0\.05 s"):
            await api.request("PATCH", "/x", body=b"", timeout_s=0.05)
        port = server.port
    config = write_kubeconfig(tmp_path / "gone", f"http://127.0.0.1:{port}", {"token": "t0"})
    async with await ApiClient.connect(config) as api:
        with pytest.raises(ApiUnreachableError, match=f"no connection to 127.0.0.1:{port}"):
            await api.request("GET", "/x")


async def test_a_token_file_is_read_again_when_the_server_no_longer_takes_the_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")

    async def check(asked: Asked, writer: asyncio.StreamWriter) -> None:
        good = asked.headers["authorization"] == "Bearer new"
        writer.write(answer(b"") if good else answer(b"{}", "401 Unauthorized"))

    async with ScriptedServer(check).running() as server:
        config = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{server.port}/base", {"tokenFile": "token"})
        async with await ApiClient.connect(config) as api:
            with pytest.raises(ApiRefusedError, match="401"):
                await api.request("GET", "/x")
            token.write_text("new\n")
            assert (await api.request("GET", "/x")).status == 200
    assert {a.target for a in server.asked} == {"/base/x"}


@pytest.mark.parametrize("path", ["x", "/a b", "/a\r\nHost: b", "/é", ""])
async def test_a_path_that_could_break_the_request_is_a_programming_error(tmp_path: Path, path: str) -> None:
    async with ScriptedServer(echo).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ValueError, match="path is"):
            await api.request("GET", path)


async def lines_of(api: ApiClient, *, silence_s: float = 5) -> list[bytes]:
    async with aclosing(api.stream("/w", {"watch": "1"}, silence_s=silence_s)) as lines:
        return [line async for line in lines]


async def test_a_stream_is_cut_into_lines_wherever_the_chunks_break(tmp_path: Path) -> None:
    long = b"x" * 300_000

    async def send(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED_HEAD + chunk(b"one\ntw") + chunk(b"o\n\nthr") + chunk(b"ee\n" + long) + chunk(b"\n"))
        writer.write(CHUNKED_END)

    async with ScriptedServer(send).running() as server, client_of(server, tmp_path) as api:
        assert await lines_of(api) == [b"one", b"two", b"three", long]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(CHUNKED_HEAD + chunk(b"one\ntw") + CHUNKED_END, "ended inside a line", id="ended inside a line"),
        pytest.param(CHUNKED_HEAD + chunk(b"one\ntw"), "closed the connection", id="broke off"),
    ],
)
async def test_a_stream_that_breaks_gives_its_whole_lines_and_then_says_so(
    tmp_path: Path, sent: bytes, said: str
) -> None:
    async def send(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        writer.close()

    got: list[bytes] = []

    async def read() -> None:
        async with aclosing(api.stream("/w", {}, silence_s=5)) as lines:
            async for line in lines:
                got.append(line)  # noqa: PERF401  what came before the error counts

    async with ScriptedServer(send).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiUnreachableError, match=said):
            await read()
    assert got == [b"one"]


async def test_a_silent_stream_is_given_up(tmp_path: Path) -> None:
    async def send(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED_HEAD)
        await writer.drain()
        await asyncio.Event().wait()

    async with ScriptedServer(send).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiUnreachableError, match=r"nothing came for 0\.05 s"):
            await lines_of(api, silence_s=0.05)


async def test_a_refused_stream_says_why(tmp_path: Path) -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b'{"reason":"Expired","message":"too old"}', "410 Gone"))

    async with ScriptedServer(refuse).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiRefusedError, match="410 Expired: too old"):
            await lines_of(api)


async def test_a_stream_that_is_read_slowly_does_not_pile_up_in_memory(tmp_path: Path) -> None:
    written = 0

    async def send(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(CHUNKED_HEAD)
        for _ in range(400):
            writer.write(chunk(b"y" * 99_999 + b"\n"))
            await writer.drain()
            written += 1
        writer.write(CHUNKED_END)

    async with (
        ScriptedServer(send).running() as server,
        client_of(server, tmp_path) as api,
        aclosing(api.stream("/w", {}, silence_s=5)) as lines,
    ):
        assert len(await anext(lines)) == 99_999
        seen = -1
        while seen != written:
            seen = written
            for _ in range(50):
                await asyncio.sleep(0)
        assert written < 390
        assert sum([1 async for _ in lines]) == 399
