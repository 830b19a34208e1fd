"""Sending to receivers that behave and to those that do not, over real sockets; nobody holds the sender past the deadline."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

from events.sinks import webhook
from events.sinks.webhook import Envelope, retry_after_s, send, send_async

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = Envelope("msg_1", "miner.offline", datetime(2026, 1, 2, tzinfo=UTC), {"miner_id": 7}, 1, "miner:7", 3)
NAME = "receiver.example.com"
TIMEOUT_S = 1.0


class Server:
    """Hands each connection, with the request it read, to `script`; keeps the requests."""

    def __init__(self, script: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.names: list[str | None] = []
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self.serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self.requests.append(read_request(connection))
                self.script(connection)

    def close(self) -> None:
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(settings, script, tls=None) -> Iterator[Server]:
    server = Server(script, tls)
    settings.WEBHOOK_ALLOWED_TARGETS = [f"127.0.0.1:{server.port}", f"{NAME}:{server.port}"]
    try:
        yield server
    finally:
        server.close()


def replying(status: int, body: bytes = b"", *, headers: str = ""):
    head = f"HTTP/1.1 {status} Word\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode()
    if status == 204:
        head = f"HTTP/1.1 204 Word\r\n{headers}\r\n".encode()
    return lambda connection: connection.sendall(head + body)


def post(server: Server, *, scheme="http", host="127.0.0.1", **options):
    options = {"timeout_s": TIMEOUT_S, "secrets": [SECRET], "event": EVENT, **options}
    return send(f"{scheme}://{host}:{server.port}/hook?farm=1", **options)


def to_loopback(host, port, **_options):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def test_a_delivery_can_be_verified_by_its_receiver(settings):
    with serving(settings, replying(200, b"thanks\r\n\x00done")) as server:
        answer = post(server, lookup=to_loopback, host=NAME)
    assert (answer.ok, answer.status, answer.error, answer.gone, answer.retry_after_s) == (True, 200, None, False, None)
    assert answer.excerpt == "thanks  done"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    assert lines[0] == "POST /hook?farm=1 HTTP/1.1"
    assert headers["host"] == f"{NAME}:{server.port}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == webhook.USER_AGENT
    assert Webhook(SECRET).verify(body, headers)["data"] == {"miner_id": 7}
    assert len(server.requests) == server.connections == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(settings, status):
    with serving(settings, replying(status)) as server:
        answer = post(server)
    assert (answer.ok, answer.status, answer.error) == (True, status, None)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_everything_else_fails_and_410_ends_it(settings, status):
    with serving(settings, replying(status, b"no")) as server:
        answer = post(server)
    assert (answer.ok, answer.status, answer.excerpt, answer.gone) == (False, status, "no", status == 410)
    assert answer.error == f"answered {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_never_followed(settings, status):
    with serving(settings, replying(200)) as inner:
        location = f"location: http://127.0.0.1:{inner.port}/\r\n"
        with serving(settings, replying(status, headers=location)) as server:
            settings.WEBHOOK_ALLOWED_TARGETS += [f"127.0.0.1:{inner.port}"]
            answer = post(server)
    assert (answer.ok, answer.status) == (False, status)
    assert "redirects are not followed" in answer.error
    assert (server.connections, inner.connections) == (1, 0)


def test_retry_after_is_told(settings):
    with serving(settings, replying(429, headers="Retry-After: 120\r\n")) as server:
        assert post(server).retry_after_s == 120


def test_retry_after_in_all_its_forms():
    now = datetime(2026, 1, 2, 3, tzinfo=UTC)
    day = 86_400
    told = {
        "": None,
        "soon": None,
        "-5": None,
        "1.5": None,
        "٣": None,
        "0": 0,
        " 30 ": 30,
        "86401": day,
        "9" * 5000: day,
        format_datetime(now + timedelta(seconds=90), usegmt=True): 90,
        format_datetime(now - timedelta(days=1), usegmt=True): 0,
        format_datetime(now + timedelta(days=9), usegmt=True): day,
        "Fri, 99 Jan 2026 00:00:00 GMT": None,
    }
    assert {value: retry_after_s(value, now=now) for value in told} == told


def drip(server: Server, connection: socket.socket) -> None:
    """One byte at a time, faster than any limit per read would notice."""
    with contextlib.suppress(OSError):
        while not server.over.wait(0.05):
            connection.sendall(b"x")


def stall(kind: str, server: Server, connection: socket.socket) -> None:
    if kind == "body":
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    elif kind == "headers":
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
    elif kind == "interim":
        while not server.over.wait(0.05):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if kind == "hang":
        server.over.wait(5)
    else:
        drip(server, connection)


@pytest.mark.parametrize("kind", ["hang", "headers", "body", "interim"])
def test_a_slow_receiver_holds_nobody_past_the_deadline(settings, kind):
    held: list[Server] = []
    with serving(settings, lambda connection: stall(kind, held[0], connection)) as server:
        held.append(server)
        started = time.monotonic()
        answer = post(server, timeout_s=0.6)
        took = time.monotonic() - started
    assert answer.error == "no complete answer within 0.6 s"
    assert not answer.ok
    assert answer.status == (200 if kind == "body" else None)
    assert 0.55 < took < 1.6
    assert 550 < answer.duration_ms < 1600


def test_a_handshake_that_never_ends_is_cut_too(settings):
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    settings.WEBHOOK_ALLOWED_TARGETS = [f"127.0.0.1:{port}"]
    started = time.monotonic()
    with silent:
        answer = send(f"https://127.0.0.1:{port}/", secrets=[SECRET], event=EVENT, timeout_s=0.5)
    assert answer.error == "no complete answer within 0.5 s"
    assert time.monotonic() - started < 1.5


def test_dns_that_hangs_is_cut_too():
    over = threading.Event()

    def lookup(*_arguments, **_options):
        over.wait(5)
        return []

    started = time.monotonic()
    answer = send("https://example.com/", secrets=[SECRET], event=EVENT, timeout_s=0.5, lookup=lookup)
    took = time.monotonic() - started
    over.set()
    assert answer.error == "no complete answer within 0.5 s"
    assert took < 1.5


def test_dns_that_fails_is_an_answer():
    def lookup(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    answer = send("https://example.com/", secrets=[SECRET], event=EVENT, timeout_s=TIMEOUT_S, lookup=lookup)
    assert (answer.ok, answer.error) == (False, "the name could not be resolved: Name or service not known")


def test_a_large_body_is_cut_and_the_connection_closed(settings):
    sent = 0

    def flood(connection):
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(160):
                connection.sendall(b"a" * 65536)
                sent += 65536

    with serving(settings, flood) as server:
        answer = post(server)
    assert (answer.ok, answer.error) == (True, None)
    assert answer.excerpt == "a" * 500
    assert sent < 10 * 1024 * 1024


def test_endless_headers_are_an_answer(settings):
    def flood(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            connection.sendall(b"x-%d: %s\r\n" % (number, b"a" * 1000))

    with serving(settings, flood) as server:
        answer = post(server)
    assert not answer.ok
    assert answer.error.startswith("the connection failed")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", None),
        (b"HTTP/1.1 200 O", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", 200),
        (b"SSH-2.0-OpenSSH_9.9\r\n", None),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n", 200),
    ],
)
def test_a_reset_or_nonsense_in_the_middle_is_an_answer(settings, said, status):
    def abort(connection):
        connection.sendall(said)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(settings, abort) as server:
        answer = post(server)
    assert (answer.ok, answer.status) == (False, status)
    assert answer.error.startswith("the connection failed: ")


def test_a_refused_port_is_an_answer(settings):
    with serving(settings, replying(200)) as server:
        pass
    answer = post(server)
    assert (answer.ok, answer.status) == (False, None)
    assert answer.error.startswith("the connection failed: ")


def test_a_refused_target_is_an_answer():
    answer = send("https://127.0.0.1/", secrets=[SECRET], event=EVENT)
    assert answer.error == "not sent: 127.0.0.1 is not an address of the public internet."


def certificate(folder, *names: str) -> tuple[str, str]:
    """Files of a self-signed certificate for these names and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    known = [x509.DNSName(name) if name[0].isalpha() else x509.IPAddress(ip_address(name)) for name in names]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(paths[0]), str(paths[1])


@contextmanager
def serving_tls(settings, folder, *names, script=None):
    files = certificate(folder, *names)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*files)
    with serving(settings, script or replying(200), tls) as server:
        tls.sni_callback = lambda _socket, name, _context: server.names.append(name)
        yield server, files[0]


@pytest.fixture
def trusting(monkeypatch):
    """Make the sender trust this certificate as a system's administrator would."""

    def trust(path):
        monkeypatch.setenv("SSL_CERT_FILE", path)
        webhook._tls.cache_clear()

    yield trust
    webhook._tls.cache_clear()


def test_a_certificate_of_nobody_is_refused(settings, tmp_path):
    with serving_tls(settings, tmp_path, NAME) as (server, _):
        answer = post(server, scheme="https", host=NAME, lookup=to_loopback)
    assert not answer.ok
    assert "CERTIFICATE_VERIFY_FAILED" in answer.error
    assert server.requests == []


def test_a_trusted_certificate_is_judged_by_the_name_not_by_the_address(settings, tmp_path, trusting):
    with serving_tls(settings, tmp_path, NAME, "127.0.0.1") as (server, path):
        trusting(path)
        assert post(server, scheme="https", host=NAME, lookup=to_loopback).ok
        assert server.names == [NAME]
        assert post(server, scheme="https").ok
        settings.WEBHOOK_ALLOWED_TARGETS += [f"other.example.com:{server.port}"]
        other = post(server, scheme="https", host="other.example.com", lookup=to_loopback)
    assert "CERTIFICATE_VERIFY_FAILED" in other.error
    assert len(server.requests) == 2


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
def test_tls_that_breaks_off_is_an_answer(settings, tmp_path, trusting, said, reset):
    def abort(connection):
        connection.sendall(said)
        time.sleep(0.05)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving_tls(settings, tmp_path, NAME, script=abort) as (server, path):
        trusting(path)
        answer = post(server, scheme="https", host=NAME, lookup=to_loopback)
    assert (answer.ok, answer.status) == (False, 200 if said else None)
    assert answer.error.startswith("the connection failed: ")


def test_a_receiver_that_reads_nothing_is_an_answer(settings):
    large = replace(EVENT, data={"text": "a" * 20_000_000})
    silent = socket.create_server(("127.0.0.1", 0))
    settings.WEBHOOK_ALLOWED_TARGETS = [f"127.0.0.1:{silent.getsockname()[1]}"]
    with silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        answer = send(url, secrets=[SECRET], event=large, timeout_s=0.5)
    assert answer.error == "no complete answer within 0.5 s"


def test_proxies_of_the_environment_are_ignored(settings, monkeypatch):
    with serving(settings, replying(200)) as proxy, serving(settings, replying(200)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(server).ok
    assert (proxy.connections, server.connections) == (0, 1)


def test_twenty_at_once_where_half_hang_take_one_deadline(settings):
    over = threading.Event()
    with serving(settings, lambda _connection: over.wait(5)) as hanging, serving(settings, replying(200)) as well:
        settings.WEBHOOK_ALLOWED_TARGETS += [f"127.0.0.1:{hanging.port}"]

        async def all_of_them():
            urls = [f"http://127.0.0.1:{server.port}/" for server in (hanging, well) for _ in range(10)]
            sends = [send_async(url, secrets=[SECRET], event=EVENT, timeout_s=TIMEOUT_S) for url in urls]
            return await asyncio.gather(*sends)

        started = time.monotonic()
        answers = asyncio.run(all_of_them())
        took = time.monotonic() - started
        over.set()
    assert [answer.ok for answer in answers] == [False] * 10 + [True] * 10
    assert max(answer.duration_ms for answer in answers[10:]) < 800
    assert took < 2


def test_the_receiver_of_the_guide_works(settings, monkeypatch, capsys):
    guide = (Path(__file__).parents[2] / "docs/how-to/webhooks.md").read_text()
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    sample = {"__name__": "sample"}
    exec(guide.split("```python\n")[1].split("```")[0], sample)
    sample["Receiver"].log_message = lambda *_arguments: None
    with ThreadingHTTPServer(("127.0.0.1", 0), sample["Receiver"]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        settings.WEBHOOK_ALLOWED_TARGETS = [f"127.0.0.1:{server.server_port}"]
        url = f"http://127.0.0.1:{server.server_port}/"
        earlier = replace(EVENT, id="msg_0", sequence=2)
        told = [
            send(url, secrets=[SECRET], event=event, timeout_s=TIMEOUT_S).status for event in (EVENT, EVENT, earlier)
        ]
        forged = send(url, secrets=["whsec_" + "A" * 32], event=replace(EVENT, id="msg_2"), timeout_s=TIMEOUT_S)
        server.shutdown()
        thread.join()
    assert (told, forged.status) == ([204, 204, 204], 401)
    assert capsys.readouterr().out == "miner.offline {'miner_id': 7}\n"
    assert sample["newest"] == {"miner:7": 3}
