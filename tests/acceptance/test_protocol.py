"""HTTP/1.1 and HTTP/2, in clear and over TLS, on one port."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.harness.gateway_process import PATIENCE, Gateway, closed, read_answer, run

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_connection_is_kept_for_further_requests(sample: Gateway) -> None:
    with sample.connect() as connection:
        for path, status in [(b"/free", 200), (b"/nowhere", 404), (b"/python", 200)] * 3:
            connection.sendall(GET % path)
            assert read_answer(connection).status == status


def test_a_refused_body_leaves_the_connection_usable(sample: Gateway) -> None:
    head = (
        b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: text/css\r\nContent-Length: 900\r\n\r\n"
    )

    with sample.connect() as connection:
        connection.sendall(head + b"x" * 900)
        refused = read_answer(connection)
        connection.sendall(GET % b"/free")
        after = read_answer(connection)

    assert (refused.status, after.status) == (415, 200)


def test_pipelined_requests_are_answered_in_their_order(sample: Gateway) -> None:
    paths = [b"/slow", b"/free", b"/typed/3", b"/nowhere", b"/typed/4", b"/secret"] * 2

    with sample.connect() as connection:
        connection.sendall(b"".join(GET % path for path in paths))
        answers = [read_answer(connection) for _ in paths]

    assert [answer.status for answer in answers] == [504, 200, 200, 404, 200, 401] * 2
    assert b'"number":3' in answers[2].body
    assert b'"number":4' in answers[4].body


def test_who_wants_no_further_request_is_closed(sample: Gateway) -> None:
    for head in (
        b"GET /free HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /free HTTP/1.0\r\n\r\n",
    ):
        with sample.connect() as connection:
            connection.sendall(head)
            assert read_answer(connection).status == 200
            assert closed(connection)


def test_expect_100_continue_is_answered_before_the_body_comes(sample: Gateway) -> None:
    head = b"POST /texts HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"

    with sample.connect() as connection:
        connection.sendall(head)
        goes_on = read_answer(connection)
        connection.sendall(b"hi")
        answer = read_answer(connection)

    assert (goes_on.status, answer.status, answer.body) == (100, 200, b"hi")


def test_http_2_with_prior_knowledge(sample: Gateway) -> None:
    with sample.client(http1=False, http2=True) as client:
        answers = [client.get(path) for path in ("/free", "/text", "/python", "/nowhere")]
        kept = client.post("/notes", json={"title": "over HTTP/2"})

    assert {answer.http_version for answer in answers} == {"HTTP/2"}
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    assert answers[-1].json()["code"] == "not_found"
    assert (kept.status_code, kept.json()["title"]) == (201, "over HTTP/2")


def test_bounds_hold_over_http_2_too(sample: Gateway) -> None:
    with sample.client(http1=False, http2=True) as client:
        long = client.get("/" + "x" * 1000)
        wide = client.get("/free", headers={"x-filler": "x" * 4000})
        large = client.post("/texts", content=b"x" * 1001)

    assert [long.status_code, wide.status_code, large.status_code] == [414, 431, 413]


def test_curl_speaks_both(sample: Gateway) -> None:
    for option, version in (("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")):
        command = ["curl", "-sS", option, "-w", " %{http_version} %{http_code}"]
        said = subprocess.run(
            [*command, f"{sample.url}/free"], capture_output=True, text=True, check=True, timeout=10
        )
        assert said.stdout == f'{{"free":true}} {version} 200'


class Certificate:
    """A certificate for this machine that signed itself, in two files."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.certificate.write_bytes(made.public_bytes(Encoding.PEM))
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.settings = {"NEXUS_TLS_CERT": str(self.certificate), "NEXUS_TLS_KEY": str(self.key)}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def secured(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("secured")
    with Gateway(folder, environment=certificate.settings) as gateway:
        yield gateway


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_client_of_tls_that_closes_its_side_gets_its_answer(
    secured: Gateway, certificate: Certificate, protocol: str
) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate.certificate))
    trusted.set_alpn_protocols([protocol])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = trusted.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    request = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
    if protocol == "h2":
        client = h2.connection.H2Connection(h2.config.H2Configuration())
        client.initiate_connection()
        fields = {":method": "GET", ":scheme": "https", ":path": "/health", ":authority": "h"}
        client.send_headers(1, list(fields.items()), end_stream=True)
        request = client.data_to_send()
    found = b""
    with secured.connect() as connection:
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
        secure.write(request)
        with suppress(ssl.SSLWantReadError):
            secure.unwrap()  # sends `close_notify`, before which nothing is read
        connection.sendall(outgoing.read())
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65536):
            incoming.write(received)
        incoming.write_eof()
        with suppress(ssl.SSLError):
            while part := secure.read(65536):
                found += part

    assert b'"status":"ok"' in found


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_tls_speaks_what_alpn_agrees_on(
    secured: Gateway, certificate: Certificate, *, http2: bool, version: str
) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate.certificate))

    with secured.client(verify=trusted, http2=http2) as client:
        answer = client.get("/health")

    assert secured.scheme == "https"
    assert (answer.status_code, answer.http_version) == (200, version)


def test_tls_refuses_versions_of_old(secured: Gateway, certificate: Certificate) -> None:
    old = ssl.create_default_context(cafile=str(certificate.certificate))
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    with secured.client(verify=old) as client:
        assert client.get("/health").status_code == 200
    with secured.connect() as connection:
        # A ClientHello of TLS 1.0, as a record with nothing in it that could be agreed on.
        connection.sendall(bytes.fromhex("160301002d0100002903 01".replace(" ", "")) + b"\0" * 41)
        found = connection.recv(1000)
    assert found == b"" or found[0] == 21, "expected an alert"


def test_clear_text_on_the_tls_port_disturbs_nobody(
    secured: Gateway, certificate: Certificate
) -> None:
    with secured.connect() as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(GET % b"/health")
        assert b"HTTP/1.1 200" not in connection.recv(1000)

    trusted = ssl.create_default_context(cafile=str(certificate.certificate))
    with httpx.Client(verify=trusted) as client:
        assert client.get(f"{secured.url}/health").status_code == 200


@pytest.mark.parametrize("wrong", ["certificate", "key"])
def test_files_that_are_no_certificate_keep_it_from_starting(
    tmp_path: Path, certificate: Certificate, wrong: str
) -> None:
    (tmp_path / "nothing.pem").write_text("nothing")
    name = {"certificate": "NEXUS_TLS_CERT", "key": "NEXUS_TLS_KEY"}[wrong]
    settings = {**certificate.settings, name: str(tmp_path / "nothing.pem")}

    ended = run(tmp_path, "serve", "--port", "0", environment=settings)

    assert ended.returncode == 2
    assert "nothing.pem" in ended.stderr
    assert "Traceback" not in ended.stderr
