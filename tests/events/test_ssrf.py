"""No URL of a stranger reaches our own network: not by its text, not by what DNS says, not by what DNS says later."""

import socket
import threading
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from events.sinks.guard import Destination, TargetRefused, allowed, check_target, resolve
from events.sinks.webhook import Envelope, send

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = Envelope("msg_1", "miner.offline", datetime(2026, 1, 2, tzinfo=UTC), {}, 1, "miner:1", 1)
PUBLIC = "93.184.215.14"

# {port} is the listener's; without it the URL cannot reach anything of ours by its port either.
HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "0x7f.1",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0X7F.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    "127.0.0.0x1",
    "127.0.0.256",
    "127.0.0.1.1",
    "0",
    "0.0.0.0",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "١٢٧.0.0.1",
    "ⓛocalhost",
    "ℓocalhost",
    "loca\N{SOFT HYPHEN}lhost",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "metadata",
    "intern",
    "app.localhost",
    "printer.local",
    "metadata.google.internal",
    "router.lan",
    "nas.home.arpa",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:93.184.215.14]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::7f00:1]",
    "[64:ff9b:1::5db8:d70e]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:5db8:d70e:0:0:80ff:fffe]",
    "[2001:0:7f00:1:0:0:a247:28f1]",
    "[2606:4700::5efe:7f00:1]",
    "[2606:4700::200:5efe:7f00:1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[::1",
    "::1",
    "[127.0.0.1]",
    "a_very-good.example..com",
    "-a.example.com",
    "a" * 64 + ".example.com",
    "example.com%00.localhost",
    "",
]
URLS = [
    "",
    "https",
    "https://",
    "https:///path",
    "https:127.0.0.1",
    "//example.com/",
    "http://example.com/",
    "HTTP://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://example.com:/",
    "https://example.com:99999/",
    "https://example.com:-1/",
    "https://example.com:４４３/",
    "https://example.com:443:443/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#",
    " https://example.com/",
    "https://example.com/ ",
    "https://exam\tple.com/",
    "https://example.com/\r\nHost: 127.0.0.1",
    "https://example.com/\x00",
    "https://example.com/\x7f",
    "https://example.com/\N{ZERO WIDTH SPACE}",
    "https://example.com/grüße",
    "https://example.com/" + "a" * 2048,
    "https://[::1]:443@example.com/",
    "https://[::1]example.com/",
]


@pytest.fixture
def listeners():
    """Loopback listeners of both families on one port, and how many connections they have seen."""
    seen: list[object] = []
    servers = [socket.create_server(("127.0.0.1", 0))]
    port = servers[0].getsockname()[1]
    if socket.has_ipv6:
        servers.append(socket.create_server(("::1", port), family=socket.AF_INET6))

    def watch(server):
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            with connection:
                seen.append(address)

    threads = [threading.Thread(target=watch, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    yield port, seen
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join()


@pytest.fixture
def open_ports(listeners, monkeypatch):
    """The listeners' port counts as open to webhooks, so that a hole in the guard would be seen by a connection."""
    port, seen = listeners
    monkeypatch.setattr("events.sinks.guard.PORTS", (443, 8443, port))
    return port, seen


def answers(*addresses):
    """What getaddrinfo returns for these addresses."""
    return [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in addresses
    ]


class Resolver:
    """Gives its answers one after another, the last one for ever, and counts how often it is asked."""

    def __init__(self, *turns):
        self.turns, self.asked = list(turns), 0

    def __call__(self, host, port, **_options):
        turn = self.turns[min(self.asked, len(self.turns) - 1)]
        self.asked += 1
        return answers(*turn)


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_of_ours_is_refused_at_save(host):
    with pytest.raises(TargetRefused):
        check_target(f"https://{host}/hook")


@pytest.mark.parametrize("url", URLS, ids=lambda url: repr(url)[:50])
def test_an_odd_url_is_refused_at_save(url):
    with pytest.raises(TargetRefused):
        check_target(url)


def test_no_host_of_ours_sees_a_connection(open_ports):
    port, seen = open_ports
    refused = [send(f"https://{host}:{port}/", secrets=[SECRET], event=EVENT, timeout_s=2) for host in HOSTS]
    assert {answer.ok for answer in refused} == {False}
    assert [answer.error for answer in refused if not answer.error.startswith("not sent: ")] == []
    assert seen == []


def test_the_listeners_would_have_seen_one(listeners, settings):
    port, seen = listeners
    settings.WEBHOOK_ALLOWED_TARGETS = [f"127.0.0.1:{port}", f"[::1]:{port}"]
    for host in ("127.0.0.1", "[::1]"):
        assert not send(f"http://{host}:{port}/", secrets=[SECRET], event=EVENT, timeout_s=2).ok
    assert len(seen) == 2


@pytest.mark.parametrize(
    "mixed",
    [
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC, "::1"],
        [PUBLIC, "169.254.169.254"],
        [PUBLIC, "2002:7f00:1::"],
        ["2606:4700::1111", "fe80::1%eth0"],
        ["127.0.0.1"],
        ["::ffff:127.0.0.1"],
    ],
    ids=",".join,
)
def test_one_inner_address_spoils_the_whole_answer(open_ports, mixed):
    port, seen = open_ports
    answer = send(
        f"https://rebind.example.com:{port}/", secrets=[SECRET], event=EVENT, timeout_s=2, lookup=Resolver(mixed)
    )
    assert "is not an address of the public internet" in answer.error
    assert seen == []


def test_dns_is_asked_once_and_its_second_thought_is_ignored(listeners, settings):
    port, seen = listeners
    settings.WEBHOOK_ALLOWED_TARGETS = [f"localhost:{port}"]
    resolver = Resolver(["127.0.0.2"], ["127.0.0.1"])  # nobody listens at the first; the system knows the second
    answer = send(f"http://localhost:{port}/", secrets=[SECRET], event=EVENT, timeout_s=2, lookup=resolver)
    assert answer.error.startswith("the connection failed")
    assert resolver.asked == 1
    assert seen == []


def test_dns_that_turns_to_loopback_is_judged_anew_at_each_attempt(open_ports):
    port, seen = open_ports
    resolver = Resolver([PUBLIC], ["127.0.0.1"])
    url = f"https://rebind.example.com:{port}/"
    assert resolve(url, resolver).address == PUBLIC
    assert "not sent" in send(url, secrets=[SECRET], event=EVENT, timeout_s=2, lookup=resolver).error
    assert seen == []


def test_a_name_is_saved_without_asking_dns_and_connected_by_address():
    check_target("https://does-not-exist.example.com:8443/hook?a=1")
    resolver = Resolver([PUBLIC, "2606:4700::1111"])
    assert resolve("https://Hooks.Example.com:8443/hook?a=1", resolver) == Destination(
        "hooks.example.com", 8443, PUBLIC, "hooks.example.com", "https", "/hook?a=1"
    )
    assert resolver.asked == 1


@pytest.mark.parametrize(
    ("url", "host", "authority"),
    [
        ("https://example.com", "example.com", "example.com"),
        ("https://bücher.example.com/", "xn--bcher-kva.example.com", "xn--bcher-kva.example.com"),
        ("https://example.com:8443/", "example.com", "example.com:8443"),
        ("https://1.1.1.1/", "1.1.1.1", "1.1.1.1"),
        ("https://[2606:4700::1111]:8443/", "2606:4700::1111", "[2606:4700::1111]:8443"),
        ("https://1.1.1.1.example.com/", "1.1.1.1.example.com", "1.1.1.1.example.com"),
    ],
)
def test_what_is_public_may_be_sent_to(url, host, authority):
    check_target(url)
    destination = resolve(url, Resolver([PUBLIC]))
    assert (destination.host, destination.authority) == (host, authority)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", PUBLIC, "2606:4700::1111", "64:ff9b::8.8.8.8", "2a00:1450:4001:81b::200e"]
)
def test_public_addresses_are_allowed(address):
    assert allowed(ip_address(address))


def test_an_entry_of_the_operator_opens_that_host_and_port_and_nothing_beside(settings):
    settings.WEBHOOK_ALLOWED_TARGETS = ["127.0.0.1:9000", "inner.farm:9000", "[::1]:9000"]
    for url in ("http://127.0.0.1:9000/", "https://127.0.0.1:9000/", "http://[::1]:9000/", "http://INNER.farm:9000/"):
        check_target(url)
    assert resolve("http://inner.farm:9000/", Resolver(["10.1.2.3"])).address == "10.1.2.3"
    for url in (
        "http://127.0.0.1:9001/",
        "http://127.0.0.2:9000/",
        "http://127.1:9000/",
        "http://other.farm:9000/",
        "http://inner.farm/",
        "http://user@inner.farm:9000/",
    ):
        with pytest.raises(TargetRefused):
            check_target(url)
    with pytest.raises(TargetRefused, match=r"169\.254\.169\.254"):
        resolve("http://inner.farm:9000/", Resolver(["169.254.169.254"]))


def test_dns_without_an_answer_is_no_refusal():
    with pytest.raises(OSError, match="no address"):
        resolve("https://example.com/", Resolver([]))
