import datetime as dt
import ssl
import threading
from pathlib import Path
from socket import create_connection, create_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import NameOID

from scheduler.localcluster.certificates import Authority, KeyPair, service_account_keys

NOW = dt.datetime.now(dt.UTC)


def stored(folder: Path, pair: KeyPair) -> Path:
    path = folder / "pair.pem"
    path.write_bytes(pair.certificate + pair.key)
    return path


def peer_of(authority: bytes, serving: Path, client: Path, host: str) -> dict[str, str]:
    """What a TLS server that asks for client certificates sees of a client that checks the server for `host`."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(serving)
    server_side.load_verify_locations(cadata=authority.decode())
    server_side.verify_mode = ssl.CERT_REQUIRED
    client_side = ssl.create_default_context(cadata=authority.decode())
    client_side.load_cert_chain(client)
    seen: dict[str, str] = {}

    with create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, server_side.wrap_socket(connection, server_side=True) as secured:
                subject = (secured.getpeercert() or {}).get("subject", ())
                seen.update({str(pair[0][0]): str(pair[0][1]) for pair in subject})
                secured.sendall(b"!")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                create_connection(listener.getsockname()) as connection,
                client_side.wrap_socket(connection, server_hostname=host) as secured,
            ):
                secured.recv(1)
        finally:
            thread.join()
    return seen


@pytest.mark.parametrize("host", ["127.0.0.1", "kubernetes.default.svc"])
def test_a_client_and_a_server_of_one_authority_trust_each_other(tmp_path: Path, host: str) -> None:
    authority = Authority("test", now=NOW)
    serving = authority.serving("server", ["127.0.0.1", "kubernetes.default.svc"])
    (tmp_path / "client").mkdir()
    client = stored(tmp_path / "client", authority.client("alice", ["team-a"]))

    subject = peer_of(authority.certificate, stored(tmp_path, serving), client, host)

    assert subject == {"commonName": "alice", "organizationName": "team-a"}


def test_a_client_certificate_names_user_and_groups() -> None:
    pair = Authority("test", now=NOW).client("alice", ["team-a", "team-b"])
    subject = x509.load_pem_x509_certificate(pair.certificate).subject
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["alice"]
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["team-a", "team-b"]


def test_a_certificate_is_valid_an_hour_before_and_a_year_after() -> None:
    pair = Authority("test", now=NOW).client("alice")
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    whole = NOW.replace(microsecond=0)
    assert certificate.not_valid_before_utc == whole - dt.timedelta(hours=1)
    assert certificate.not_valid_after_utc == whole + dt.timedelta(days=365)


def test_service_account_keys_belong_together() -> None:
    keys = service_account_keys()
    private, public = load_pem_private_key(keys.private, None), load_pem_public_key(keys.public)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == public
