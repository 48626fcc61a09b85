"""What an `aws` connection can say beside its keys: a private authority's certificates, and a role to assume."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack.stack import Stack
from mindguard.connections import Connection, s3_client
from mindguard.doctor.store import examine_store
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots.storage.s3_errors import StoreError
from mindguard.snapshots.storage.store import Store
from tests.integration.fault_proxy import s3_proxy

ROLE = "arn:aws:iam::123456789012:role/snapshots"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that no public authority has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private authority")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("authority") / "both.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(pem) + private)
    return file


def with_extras(connection: Connection, **extra: object) -> Connection:
    # The proxy does not read a body that comes in chunks, as a checksum that is computed on the way makes it.
    config = {"retries": {"total_max_attempts": 1}, "request_checksum_calculation": "when_required"}
    config = {**connection.extra.get("config_kwargs", {}), **config}
    return replace(connection, extra={**connection.extra, "config_kwargs": config, **extra})


def test_a_private_authority_is_trusted_by_its_certificate(
    stack: Stack, backup_connection: Connection, bucket: str, certificate: Path
) -> None:
    def listed(**extra: object) -> list[str]:
        client = s3_client(with_extras(backup_connection, endpoint_url=endpoint, **extra))
        return Store(client, bucket=bucket, prefix="p").manifest_keys()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with s3_proxy(stack.seaweedfs.endpoint, lambda *_: None, tls=context) as endpoint:
        assert listed(verify=str(certificate)) == []
        assert listed(verify=False) == listed(verify="false") == []
        with pytest.raises(StoreError, match="its certificate is not trusted"):
            listed()


def test_doctor_asks_the_store_at_the_same_address_in_the_same_way(
    stack: Stack, backup_connection: Connection, bucket: str, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    settings = Settings.model_validate({"snapshot": {"bucket": bucket, "tables": [{"name": "public.t"}]}})
    with s3_proxy(stack.seaweedfs.endpoint, lambda *_: None, tls=context) as endpoint:
        connection = with_extras(
            backup_connection,
            endpoint_url="http://127.0.0.1:9",
            service_config={"s3": {"endpoint_url": endpoint}},
            verify=str(certificate),
        )
        found = {
            each.check: each for each in examine_store(settings, lambda _: connection, lambda: dt.datetime.now(dt.UTC))
        }
    assert found["public access"].status == "pass", found["public access"].text
    assert found["write"].status == "pass"


@contextmanager
def token_service(key: str, secret: str) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A service that gives these keys to whoever assumes a role. Yields its address and what it was asked."""
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
            answer = (
                '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
                f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
                f"<SessionToken></SessionToken><Expiration>{until}</Expiration>"
                "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_role_is_assumed_with_the_connections_own_keys(backup_connection: Connection, bucket: str) -> None:
    with token_service(backup_connection.login, backup_connection.password) as (address, asked):
        connection = with_extras(
            replace(backup_connection, login="OWN", password="of no use in the store"),
            role_arn=ROLE,
            assume_role_kwargs={"ExternalId": "tenant", "RoleSessionName": "nightly"},
            region_name="eu-west-1",
            service_config={"sts": {"endpoint_url": address}},
        )
        assert Store(s3_client(connection), bucket=bucket, prefix="p").manifest_keys() == []
    (question,) = asked
    assert question["RoleArn"] == [ROLE]
    assert (question["ExternalId"], question["RoleSessionName"]) == (["tenant"], ["nightly"])


def test_a_role_that_cannot_be_assumed_is_the_connections_fault(backup_connection: Connection) -> None:
    with token_service(backup_connection.login, backup_connection.password) as (address, asked):
        connection = with_extras(
            backup_connection,
            role_arn=ROLE,
            assume_role_kwargs={"ExternalId": "x"},
            region_name="eu-west-1",
            service_config={"sts": {"endpoint_url": address}},
        )
        with pytest.raises(MindGuardError, match=r"connection .* cannot assume its role: ") as caught:
            s3_client(connection)
    assert len(str(caught.value).splitlines()) == 1
    assert not asked
