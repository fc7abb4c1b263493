import asyncio
import base64
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scheduler.kube.api import ApiClient, ApiUnreachableError
from scheduler.kube.login import LoginError, read_access
from tests.kube.scripted import Asked, ScriptedServer, answer, write_kubeconfig

NOW_S = 1_800_000_000


def pair() -> tuple[bytes, bytes]:
    """A self-signed certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_tls_with_a_client_certificate_and_the_name_that_the_kubeconfig_gives(tmp_path: Path) -> None:
    certificate, key = pair()
    (tmp_path / "s.pem").write_bytes(certificate + key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=certificate.decode())
    tls.load_cert_chain(tmp_path / "s.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    user: dict[str, object] = {"client-certificate-data": b64(certificate), "client-key-data": b64(key)}

    async def say(asked: Asked, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peercert")
        writer.write(answer(repr(peer["subject"]).encode()))

    async with ScriptedServer(say).running(tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        cluster: dict[str, object] = {"certificate-authority-data": b64(certificate), "tls-server-name": "api.test"}
        config = write_kubeconfig(tmp_path / "config", url, user, cluster)
        async with await ApiClient.connect(config) as api:
            assert b"api.test" in (await api.request("GET", "/x")).body
        del cluster["tls-server-name"]
        config = write_kubeconfig(tmp_path / "config", url, user, cluster)
        async with await ApiClient.connect(config) as api:
            with pytest.raises(ApiUnreachableError, match=r"certificate verify failed.*127\.0\.0\.1"):
                await api.request("GET", "/x")


def plugin(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(stat.S_IRWXU)
    return path


def test_an_exec_plugin_gives_a_token_until_it_ends(tmp_path: Path) -> None:
    ends = datetime.fromtimestamp(NOW_S + 900, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    plugin(
        tmp_path / "p",
        f"""echo "{{\\"status\\": {{\\"token\\": \\"$1-$X\\", \\"expirationTimestamp\\": \\"{ends}\\"}}}}" """,
    )
    execute = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./p",
        "args": ["a"],
        "env": [{"name": "X", "value": "b"}],
    }
    access = read_access(write_kubeconfig(tmp_path / "c", "https://h", {"exec": execute}), now_s=NOW_S)
    assert access.authorization == "Bearer a-b"
    assert access.reread_s == 840


def test_basic_and_token_credentials(tmp_path: Path) -> None:
    basic = write_kubeconfig(tmp_path / "b", "https://h", {"username": "u", "password": "p"})
    assert read_access(basic, now_s=NOW_S).authorization == f"Basic {b64(b'u:p')}"
    token = read_access(write_kubeconfig(tmp_path / "t", "https://h", {"token": "x"}), now_s=NOW_S)
    assert (token.authorization, token.reread_s) == ("Bearer x", None)
    assert "x" not in repr(token).replace("https://h", "")


@pytest.mark.parametrize(
    ("user", "cluster", "said"),
    [
        ({"exec": {"command": "false"}}, {}, "the exec plugin 'false' failed with 1"),
        ({"exec": {"command": "/no/such/plugin"}}, {}, "gave no credential"),
        ({"exec": {"command": "echo", "args": ["{}"]}}, {}, "status of the exec plugin's answer is None"),
        ({"auth-provider": {"name": "gcp"}}, {}, "auth-provider is not supported"),
        ({"token": 5}, {}, "token is 5; a text is needed"),
        ({"client-certificate-data": "%%%"}, {}, "client-certificate-data is no base64"),
        ({"tokenFile": "gone"}, {}, "'gone' cannot be read: No such file"),
        ({}, {"server": "h:1"}, "server is 'h:1'; an http or https URL is needed"),
        ({}, {"proxy-url": "http://p"}, "proxy-url is not supported"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(
    tmp_path: Path, user: dict[str, object], cluster: dict[str, object], said: str
) -> None:
    config = write_kubeconfig(tmp_path / "config", "https://h", user, cluster)
    with pytest.raises(LoginError) as caught:
        read_access(config, now_s=NOW_S)
    assert said in str(caught.value)
    assert repr(str(config)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read the kubeconfig"),
        ("{a: [", "is no YAML"),
        ("[]", "the document is [], a mapping is needed".replace(",", ";", 1)),
        ("current-context: x\ncontexts: [{name: a}, {name: b}]", "there is no context 'x'; known: 'a', 'b'"),
        ("current-context: x\ncontexts: 3", "contexts is 3; a list is needed"),
    ],
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str | None, said: str) -> None:
    config = tmp_path / "config"
    if text is not None:
        config.write_text(text)
    with pytest.raises(LoginError) as caught:
        read_access(config, now_s=NOW_S)
    assert said in str(caught.value)


def test_outside_a_pod_a_kubeconfig_is_asked_for() -> None:
    with pytest.raises(LoginError, match="no kubeconfig is given"):
        read_access(None, now_s=NOW_S, environment={})


def test_in_a_pod_the_files_of_the_service_account_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.kube.login.POD_FILES", tmp_path)
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "ca.crt").write_bytes(b"ca")
    access = read_access(
        None, now_s=NOW_S, environment={"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    )
    assert (access.server, access.authorization, access.reread_s) == ("https://[fd00::1]:443", "Bearer t", 60)
