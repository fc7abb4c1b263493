"""The server over real sockets: protocol, limits, held binds, shutdown."""

import asyncio
import datetime as dt
import resource
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.extender.asgi import STOPPING
from scheduler.extender.limits import Limits
from scheduler.extender.server import ExtenderServer, ListenError, Tls
from scheduler.telemetry import Telemetry
from tests.extender.client import Connection, once, request
from tests.extender.conftest import Serve
from tests.extender.fakes import WAITING, FakeGuard, args, bind_args, planned

SHORT = Limits(body_s=0.3, head_s=0.3, body_bytes=1 << 16, head_bytes=1 << 14)


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Waits for something another thread does; fails after `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  what other threads do sets no event here
            await asyncio.sleep(0.005)


async def test_twenty_calls_need_one_connection(serve: Serve) -> None:
    server = serve(FakeGuard({"u1": planned("n2")}))
    async with Connection(server.port) as connection:
        for _ in range(20):
            answer = await connection.call("POST", "/filter", args(["n1", "n2"]))
            assert answer.json["NodeNames"] == ["n2"]
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers.get("connection") != "close"


async def test_failures_keep_the_connection_too(serve: Serve) -> None:
    server = serve(FakeGuard())
    async with Connection(server.port) as connection:
        for path, status in [("/filter", 200), ("/prioritize", 200), ("/preempt", 200), ("/bind", 200), ("/what", 404)]:
            assert (await connection.call("POST", path, b"{nonsense")).status == status


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    server = serve(FakeGuard({f"u{i}": planned(f"n{i}") for i in range(10)}))
    names = [f"n{i}" for i in range(10)]
    async with Connection(server.port) as connection:
        connection.writer.write(b"".join(request("POST", "/filter", args(names, uid=f"u{i}")) for i in range(10)))
        for i in range(10):
            assert (await connection.answer()).json["NodeNames"] == [f"n{i}"]


async def test_a_body_may_come_in_chunks(serve: Serve) -> None:
    server = serve(FakeGuard())
    body = args(["n1"])
    async with Connection(server.port) as connection:
        connection.writer.write(b"POST /filter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (body[:40], body[40:]):
            connection.writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await connection.writer.drain()
        connection.writer.write(b"0\r\n\r\n")
        assert (await connection.answer()).json["NodeNames"] == ["n1"]


async def test_a_large_body_does_not_close_the_connection_for_its_length(serve: Serve) -> None:
    server = serve(FakeGuard({"u1": WAITING}))
    names = [f"node-{i:05}" for i in range(5000)]
    async with Connection(server.port) as connection:
        for _ in range(3):
            answer = await connection.call("POST", "/filter", args(names))
            assert len(answer.json["FailedAndUnresolvableNodes"]) == 5000


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/healthz", 200, "ok"),
        ("GET", "/readyz", 200, "ready"),
        ("GET", "/filter", 405, "/filter takes POST, not GET"),
        ("POST", "/healthz", 405, "/healthz takes GET, not POST"),
        ("GET", "/elsewhere", 404, "there are /filter, /prioritize"),
        ("DELETE", "/%2e%2e/filter", 404, "nothing is at this path"),
    ],
)
async def test_other_routes(serve: Serve, method: str, path: str, status: int, says: str) -> None:
    answer = await once(serve(FakeGuard()).port, method, path)
    assert answer.status == status
    assert says in answer.text


async def test_readiness_names_its_reasons(serve: Serve) -> None:
    reasons = ["the pod list is not complete", "another replica leads"]
    server = serve(FakeGuard(), not_ready=lambda: reasons)
    answer = await once(server.port, "GET", "/readyz")
    assert answer.status == 503
    assert answer.text.splitlines() == reasons
    reasons.clear()
    assert (await once(server.port, "GET", "/readyz")).status == 200


async def test_metrics_count_calls_and_rulings(serve: Serve) -> None:
    server = serve(FakeGuard({"u1": planned("n1")}))
    async with Connection(server.port) as connection:
        for _ in range(3):
            await connection.call("POST", "/filter", args(["n1"]))
        answer = await connection.call("GET", "/metrics")
        head = await connection.call("HEAD", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'bayplan_extender_rulings_total{ruling="planned",verb="filter"} 3.0' in answer.text
    assert 'bayplan_extender_request_duration_seconds_count{verb="filter"} 3.0' in answer.text
    assert head.status == 200


async def test_a_body_that_is_too_long_is_answered_and_not_kept(serve: Serve) -> None:
    server = serve(FakeGuard(), limits=SHORT)
    async with Connection(server.port) as connection:
        answer = await connection.call("POST", "/filter", b" " * (1 << 20))
        assert answer.status == 200
        assert answer.json["Error"] == "the body has 1048576 bytes; at most 65536 are read"
        assert (await connection.call("POST", "/filter", args(["n1"]))).json["NodeNames"] == ["n1"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/filter", 200, b'"Error":"the body did not arrive within 0.3 s"'),
        ("/bind", 200, b'"Error":"the body did not arrive within 0.3 s"'),
        ("/prioritize", 200, b"[]"),
        ("/preempt", 200, b'{"NodeNameToMetaVictims":{}}'),
        ("/elsewhere", 408, b"the body did not arrive"),
    ],
)
async def test_a_body_that_drips_is_answered_in_time(serve: Serve, path: str, status: int, says: bytes) -> None:
    guard = FakeGuard()
    server = serve(guard, limits=SHORT)
    async with Connection(server.port) as connection:
        connection.writer.write(request("POST", path, bind_args())[:-30])
        answer = await connection.answer()
        assert answer.status == status
        assert says in answer.body
        assert answer.headers["connection"] == "close"
        assert await connection.at_end()
    assert guard.asked == []


async def test_a_truncated_body_disturbs_nobody(serve: Serve) -> None:
    guard = FakeGuard()
    server = serve(guard)
    for end in ("eof", "abort"):
        async with Connection(server.port) as connection:
            connection.writer.write(request("POST", "/bind", bind_args())[:-30])
            await connection.writer.drain()
            if end == "eof":
                connection.writer.write_eof()
                assert await connection.at_end()
    assert (await once(server.port, "GET", "/healthz")).status == 200
    assert guard.asked == []


@pytest.mark.parametrize(
    "start", [b"", b"POST /filter HTTP/1.1\r\nHo", b"\r\n"], ids=["silence", "half a head", "an empty line"]
)
async def test_a_head_that_does_not_come_ends_the_connection(serve: Serve, start: bytes) -> None:
    server = serve(FakeGuard(), limits=SHORT)
    async with Connection(server.port) as connection, asyncio.timeout(5):
        connection.writer.write(start)
        assert await connection.at_end()


async def test_a_head_that_drips_after_an_answer_ends_the_connection(serve: Serve) -> None:
    server = serve(FakeGuard(), limits=SHORT)
    async with Connection(server.port) as connection, asyncio.timeout(5):
        await connection.call("GET", "/healthz")
        connection.writer.write(b"GET /hea")
        assert await connection.at_end()


async def test_an_endless_head_ends_the_connection(serve: Serve) -> None:
    server = serve(FakeGuard(), limits=Limits(head_s=60, head_bytes=1 << 14))
    async with Connection(server.port) as connection, asyncio.timeout(5):
        connection.writer.write(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * (1 << 20))
        assert await connection.at_end()


@pytest.fixture(scope="module")
def plain_port() -> Iterator[int]:
    server = ExtenderServer(FakeGuard(), Telemetry(), list, limits=SHORT, grace_s=0)
    server.start("127.0.0.1", 0)
    yield server.port
    asyncio.run(server.stop())


@settings(deadline=None)  # goes through the kernel
@given(noise=st.binary(min_size=1, max_size=200), prefix=st.sampled_from([b"", b"POST /bind HTTP/1.1\r\n"]))
async def test_bytes_that_are_no_http_never_stop_the_server(plain_port: int, noise: bytes, prefix: bytes) -> None:
    async with Connection(plain_port) as connection, asyncio.timeout(5):
        connection.writer.write(prefix + noise)
        connection.writer.write_eof()
        while not await connection.at_end():
            pass
    assert (await once(plain_port, "GET", "/healthz")).status == 200


async def test_512_binds_are_held_while_other_calls_go_on(serve: Serve) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    guard = FakeGuard({"u1": planned("n1")})
    guard.gate = asyncio.Event()
    server = serve(guard)
    binds = [asyncio.create_task(once(server.port, "POST", "/bind", bind_args(f"g{i}"))) for i in range(512)]
    await until(lambda: len(guard.asked) == 512)
    assert (await once(server.port, "POST", "/filter", args(["n1"]))).json["NodeNames"] == ["n1"]
    assert not any(bind.done() for bind in binds)
    loop_of(guard).call_soon_threadsafe(guard.gate.set)
    assert {(await bind).json["Error"] for bind in binds} == {""}


async def listens(port: int) -> bool:
    try:
        await once(port, "GET", "/healthz")
    except (ConnectionError, asyncio.IncompleteReadError):  # refused, or accepted just before the end
        return False
    return True


def loop_of(guard: FakeGuard) -> asyncio.AbstractEventLoop:
    """The server's loop, where the guard is asked to bind."""
    assert guard.loop is not None
    return guard.loop


async def test_a_bind_whose_caller_hangs_up_is_cancelled(serve: Serve) -> None:
    guard = FakeGuard()
    guard.gate = asyncio.Event()
    server = serve(guard)
    async with Connection(server.port) as connection:
        connection.writer.write(request("POST", "/bind", bind_args("u5")))
        await until(lambda: len(guard.asked) == 1)
    await until(lambda: guard.cancelled == guard.asked)


async def test_stopping_waits_for_a_held_bind_within_the_grace(serve: Serve) -> None:
    guard = FakeGuard()
    guard.gate = asyncio.Event()
    server = serve(guard, grace_s=30)
    bind = asyncio.create_task(once(server.port, "POST", "/bind", bind_args()))
    await until(lambda: len(guard.asked) == 1)
    stop = asyncio.create_task(server.stop())
    while await listens(server.port):
        pass
    assert not stop.done()
    loop_of(guard).call_soon_threadsafe(guard.gate.set)
    assert (await bind).json == {"Error": ""}
    await asyncio.wait_for(stop, 5)


async def test_stopping_ends_what_is_still_held_after_the_grace(serve: Serve) -> None:
    guard = FakeGuard()
    guard.gate = asyncio.Event()
    server = serve(guard, grace_s=0.3)
    bind = asyncio.create_task(once(server.port, "POST", "/bind", bind_args()))
    await until(lambda: len(guard.asked) == 1)
    async with Connection(server.port) as half, Connection(server.port) as idle:
        half.writer.write(request("POST", "/filter", args(["n1"]))[:-10])
        await idle.call("GET", "/healthz")
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 3
        assert await half.at_end()
        assert await idle.at_end()
    assert (await bind).json == {"Error": STOPPING}
    assert len(guard.cancelled) == 1


async def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    server = ExtenderServer(FakeGuard(), Telemetry(), list)
    await server.stop()
    server.start("127.0.0.1", 0)
    await server.stop()
    await server.stop()


def test_a_taken_port_is_said_in_one_sentence() -> None:
    server = ExtenderServer(FakeGuard(), Telemetry(), list)
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:80: "):
        server.start("192.0.2.1", 80)


def test_a_missing_certificate_is_said_in_one_sentence(tmp_path: Path) -> None:
    tls = Tls(certfile=tmp_path / "tls.crt", keyfile=tmp_path / "tls.key")
    with pytest.raises(ListenError, match=r"certificate files .*tls\.crt, .*tls\.key"):
        ExtenderServer(FakeGuard(), Telemetry(), list, tls=tls).start("127.0.0.1", 0)


async def test_with_a_client_ca_only_its_clients_get_in(serve: Serve, tmp_path: Path) -> None:
    paths = _certificate(tmp_path, "server"), _certificate(tmp_path, "client")
    (cert, key), (client_cert, client_key) = paths
    server = serve(FakeGuard(), tls=Tls(certfile=cert, keyfile=key, client_ca=client_cert))
    context = ssl.create_default_context(cafile=cert)
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        async with Connection(server.port, context) as connection:
            await connection.call("GET", "/healthz")
    context.load_cert_chain(client_cert, client_key)
    async with Connection(server.port, context) as connection:
        assert (await connection.call("POST", "/filter", args(["n1"]))).json["NodeNames"] == ["n1"]


def _certificate(folder: Path, name: str) -> Iterable[Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file
