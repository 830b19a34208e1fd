"""The agent at its site: real machines (simulated, over TCP), a real HTTP server, and a line that comes and goes."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.core.management.base import CommandError

from hosting.cgminer.simulator import build_farm
from hosting.edge.agent import Agent, Folder, FolderBusy
from hosting.edge.line import BadServer, FarmClock, Line, LineDown, Refused, TokenFile, checked
from hosting.edge.tokens import make_site_token, revoke_site_token
from hosting.models import (
    MinerIdentity,
    MinerLatest,
    Site,
    SiteAgent,
    SiteBucket,
    SiteToken,
    Telemetry,
    TelemetryGap,
    TelemetrySweep,
)
from hosting.simulation import register_simulated
from minefarm.lib.clock import database_minute
from tests.farm import MANAGE, ROOT, network, simulated_fleet

MINERS = 12
database = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def machines():
    host = network(60)
    with simulated_fleet(MINERS, host):
        yield host


@pytest.fixture
def shed(site, catalogue, machines):
    """A site whose machines an agent reads."""
    Site.objects.filter(pk=site.pk).update(collector="agent")
    register_simulated(build_farm(MINERS, host=machines), site=site)
    site.refresh_from_db()
    return site


@pytest.fixture
def token_file(shed, admin, tmp_path):
    path = tmp_path / "token"
    path.write_text(make_site_token(site=shed, name="shed", by=admin)[1] + "\n")
    return TokenFile(path)


@pytest.fixture
def make_agent(token_file, live_server, tmp_path):
    made = []

    def make(server: str = "", folder: str = "agent", clock: FarmClock | None = None) -> Agent:
        clock = clock or FarmClock()
        line = Line(server or live_server.url, token_file, clock)
        agent = Agent(line, Folder(tmp_path / folder, 10**9), clock, tell=lambda _text: None)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.line.close()
        agent.folder.close()


def no_server() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def whole_minutes() -> set[datetime]:
    """The minutes of the history, each of which has every machine once."""
    minutes = list(Telemetry.objects.values_list("recorded_at", flat=True))
    assert all(minutes.count(minute) == MINERS for minute in set(minutes))
    assert sum(SiteBucket.objects.values_list("samples", flat=True)) == len(minutes)
    return set(minutes)


@database
def test_a_minute_goes_from_the_machines_into_the_history(shed, make_agent):
    agent = make_agent()
    agent.refresh()
    report = agent.poll()
    assert (report.online, report.miners) == (MINERS, MINERS)
    agent.send_all()
    assert whole_minutes() == {report.minute}
    assert abs(report.minute - database_minute()) <= timedelta(minutes=1)
    assert MinerLatest.objects.filter(error=None).count() == MINERS
    assert MinerIdentity.objects.exclude(command_set=None).count() == MINERS
    assert TelemetrySweep.objects.get().stored == MINERS
    assert agent.folder.spool.waiting() == []
    # What was learnt of the machines is used at once, not when the farm tells it.
    assert all(miner.identity[3] for miner in agent.miners)


@database
def test_ten_minutes_without_a_line_are_all_there_afterwards(shed, make_agent):
    """And another agent of the same site, started meanwhile on what it remembers, changes none of it."""
    agent = make_agent()
    agent.refresh()
    now = database_minute()
    up, agent.line = agent.line, make_agent(no_server(), "elsewhere").line
    for number in range(10, 0, -1):
        agent.poll(now - timedelta(minutes=number))
        with pytest.raises(LineDown):
            agent.send()
    assert len(agent.folder.spool.waiting()) == 10
    agent.line = up
    agent.poll(now)
    assert agent.send()
    assert whole_minutes() == {now}  # the live minute first
    assert SiteAgent.objects.get().waiting == 10
    agent.send_all()
    wanted = {now - timedelta(minutes=number) for number in range(11)}
    assert whole_minutes() == wanted
    before = list(Telemetry.objects.order_by("recorded_at", "miner_id").values())

    other = make_agent(folder="second")
    other.refresh()
    for number in range(11):
        other.poll(now - timedelta(minutes=number))
    other.send_all()
    assert list(Telemetry.objects.order_by("recorded_at", "miner_id").values()) == before
    assert whole_minutes() == wanted
    assert TelemetryGap.objects.count() == 0


@database
def test_polling_goes_on_after_a_start_without_a_line_and_by_the_farms_clock(shed, make_agent, tmp_path):
    first = make_agent()
    first.refresh()
    first.folder.close()
    kept = json.loads((tmp_path / "agent" / "targets.json").read_text())
    assert (tmp_path / "agent" / "targets.json").stat().st_mode & 0o077 == 0
    kept["clock_ahead_s"] = 7200.0  # this host's clock is two hours ahead
    (tmp_path / "agent" / "targets.json").write_text(json.dumps(kept))

    folder = Folder(tmp_path / "agent", 10**9)
    clock = FarmClock(folder.recall()[1])
    folder.close()
    agent = make_agent(no_server(), clock=clock)
    report = agent.poll()
    assert report.online == MINERS
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    assert abs(report.minute - two_hours_ago) < timedelta(minutes=2)


@database
def test_a_wrong_clock_is_set_by_the_farms(shed, make_agent):
    agent = make_agent(clock=FarmClock(ahead_s=-86_400.0))
    assert agent.clock.now() - datetime.now(UTC) > timedelta(hours=23)
    agent.refresh()
    assert abs(agent.clock.now() - datetime.now(UTC)) < timedelta(seconds=2)
    agent.poll()
    agent.send_all()
    assert len(whole_minutes()) == 1


@database
def test_a_site_that_the_farm_reads_is_left_alone(shed, make_agent):
    Site.objects.update(collector="farm")
    agent = make_agent()
    agent.refresh()
    assert agent.poll() is None
    assert agent.folder.spool.waiting() == []


@database
def test_a_revoked_token_loses_no_minute(shed, make_agent, token_file, admin):
    agent = make_agent()
    agent.refresh()
    revoke_site_token(SiteToken.objects.get(), by=admin)
    report = agent.poll()
    with pytest.raises(Refused, match="revoked"):
        agent.send()
    assert not Telemetry.objects.exists()
    token_file.path.write_text(make_site_token(site=shed, name="again", by=admin)[1])
    agent.send_all()
    assert whole_minutes() == {report.minute}


@database
def test_minutes_older_than_a_day_go_and_their_gap_is_told(shed, make_agent):
    agent = make_agent()
    agent.refresh()
    now = database_minute()
    agent.poll(now - timedelta(hours=24, minutes=1))
    agent.poll(now)
    agent.send_all()
    assert whole_minutes() == {now}
    gap = TelemetryGap.objects.get()
    assert (gap.minute, gap.reason) == (now - timedelta(hours=24, minutes=1), "at the agent: kept for 24 hours")


@database
def test_a_damaged_file_costs_its_minute_alone(shed, make_agent):
    agent = make_agent()
    agent.refresh()
    now = database_minute()
    for number in (12, 11, 10):
        agent.poll(now - timedelta(minutes=number))
    middle = agent.folder.spool.waiting()[1]
    middle.path.write_bytes(middle.path.read_bytes()[:-9])
    agent.send_all()
    agent.send_all()
    assert whole_minutes() == {now - timedelta(minutes=12), now - timedelta(minutes=10)}
    assert TelemetryGap.objects.get().minute == now - timedelta(minutes=11)


# --- the command ------------------------------------------------------------------------------------------------------


def edge_agent(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As at a site: no database, no Redis, not even their addresses."""
    return subprocess.run(
        [*MANAGE, "edge_agent", *arguments],
        env=bare(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def bare(environment: dict[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | environment


@database
def test_the_command_needs_nothing_but_its_folder(shed, token_file, live_server, tmp_path):
    state = str(tmp_path / "state")
    options = ("--server", live_server.url, "--token-file", str(token_file.path), "--state", state, "--once", "--json")
    done = edge_agent(*options, MINEFARM_STATE_DIR="/nonexistent")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["online"], document["sent_minutes"], document["waiting_minutes"]) == (MINERS, 1, 0)
    assert len(whole_minutes()) == 1


@database
def test_in_production_it_needs_no_secret_and_asks_no_loopback(shed, token_file, live_server, tmp_path):
    state = str(tmp_path / "state")
    options = ("--server", live_server.url, "--token-file", str(token_file.path), "--state", state, "--once", "--json")
    done = edge_agent(*options, MINEFARM_ENV="production", MINEFARM_STATE_DIR="/nonexistent")
    document = json.loads(done.stdout)
    assert (document["online"], document["sent_minutes"]) == (0, 1)


@database
def test_once_without_a_line_keeps_the_minute_and_exits_1(shed, token_file, live_server, tmp_path, capsys):
    options = ("--token-file", str(token_file.path), "--state", str(tmp_path / "state"), "--once", "--json")
    with pytest.raises(CommandError, match="has not told which machines to read"):
        call_command("edge_agent", "--server", no_server(), *options)
    capsys.readouterr()
    call_command("edge_agent", "--server", live_server.url, *options)
    assert json.loads(capsys.readouterr().out)["sent_minutes"] == 1
    with pytest.raises(SystemExit) as ended:
        call_command("edge_agent", "--server", no_server(), *options)
    document = json.loads(capsys.readouterr().out)
    assert (ended.value.code, document["online"], document["waiting_minutes"]) == (1, MINERS, 1)
    assert "ConnectError" in document["problem"]


@database
@pytest.mark.storm
def test_an_agent_killed_while_it_writes_loses_no_whole_minute_and_sends_no_half(
    shed, token_file, live_server, tmp_path
):
    """SIGKILL at twenty moments of reading, keeping and sending; then one run that is left alone."""
    state = tmp_path / "state"
    options = ("--server", live_server.url, "--token-file", str(token_file.path), "--state", str(state))
    for number in range(20):
        with subprocess.Popen(
            [*MANAGE, "edge_agent", *options], env=bare({}), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            process.stdout.readline()  # the site's machines are known
            time.sleep(0.008 * number)
            process.send_signal(signal.SIGKILL)
        for unfinished in (state / "waiting").glob("*.writing"):
            assert unfinished.suffix == ".writing"
    with subprocess.Popen(
        [*MANAGE, "edge_agent", *options], env=bare({}), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stdout.readline(), process.stdout.readline()]
        deadline = time.monotonic() + 30
        while list((state / "waiting").glob("*.sweep")) or not Telemetry.objects.exists():
            assert time.monotonic() < deadline, lines
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert "stopped; " in process.stdout.read()
    assert f"{MINERS} of {MINERS} read" in "".join(lines)
    assert not list((state / "waiting").glob("*.writing"))
    assert whole_minutes()
    for sweep in TelemetrySweep.objects.all():
        assert sweep.stored == MINERS


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("http://farm.example.com", "is not encrypted"),
        ("http://10.0.0.1:8000", "is not encrypted"),
        ("ftp://farm.example.com", "is no address of a farm"),
        ("https://user:password@farm.example.com", "is no address of a farm"),
        ("https://farm.example.com/path", "is no address of a farm"),
        ("farm.example.com", "is no address of a farm"),
        ("https://farm.example.com:port", "is no address"),
    ],
)
def test_a_token_goes_over_https_or_to_this_host_alone(server, reason):
    with pytest.raises(BadServer, match=reason):
        checked(server)


@pytest.mark.parametrize(
    "server",
    [
        "https://farm.example.com",
        "https://farm.example.com:8443",
        "http://127.0.0.1:8000",
        "http://localhost",
        "http://[::1]:8000",
    ],
)
def test_addresses_of_a_farm(server):
    assert checked(server + "/") == server


@pytest.mark.parametrize(
    ("server", "token", "more", "reason"),
    [
        ("https://farm.example.com", "mf_a-users-token", (), "holds no site token"),
        ("http://farm.example.com", "mfa_0123456789", (), "is not encrypted"),
        ("https://farm.example.com", "mfa_0123456789", ("--json",), "Without --once"),
    ],
)
def test_what_cannot_work_is_refused_with_the_next_step(tmp_path, server, token, more, reason):
    (tmp_path / "token").write_text(token)
    options = ("--token-file", str(tmp_path / "token"), "--state", str(tmp_path / "state"), *more)
    with pytest.raises(CommandError, match=reason):
        call_command("edge_agent", "--server", server, *options)


@pytest.fixture
def tls_server(tmp_path):
    """A server with a certificate that nobody has signed; yields its port and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "ca.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    (tmp_path / "both.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Heard) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], path
        server.shutdown()
        thread.join()


class Heard(BaseHTTPRequestHandler):
    """Remembers the tokens that it was shown."""

    tokens: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers["Authorization"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"miners": []}')

    def log_message(self, *_said: object) -> None:
        pass


def test_a_server_whose_certificate_nobody_trusts_never_sees_the_token(tls_server, tmp_path):
    port, certificate = tls_server
    (tmp_path / "token").write_text("mfa_0123456789")
    token = TokenFile(tmp_path / "token")
    stranger = Line(f"https://localhost:{port}", token, FarmClock())
    with pytest.raises(LineDown, match="certificate"):
        stranger.targets(None)
    assert Heard.tokens == []
    trusted = Line(f"https://localhost:{port}", token, FarmClock(), ca=certificate)
    assert trusted.targets(None) == ("", {"miners": []})
    assert Heard.tokens == ["Agent mfa_0123456789"]
    stranger.close()
    trusted.close()


def test_two_agents_do_not_share_a_folder(tmp_path):
    first = Folder(tmp_path / "agent", 10**6)
    with pytest.raises(FolderBusy, match="give each its own --state"):
        Folder(tmp_path / "agent", 10**6)
    first.close()
    Folder(tmp_path / "agent", 10**6).close()


def test_what_a_killed_process_had_not_finished_is_swept_away(tmp_path):
    (tmp_path / "agent" / "waiting").mkdir(parents=True)
    (tmp_path / "agent" / "waiting" / "20261123T1000-1-00000000.writing").write_bytes(b"half")
    folder = Folder(tmp_path / "agent", 10**6)
    assert list((tmp_path / "agent" / "waiting").iterdir()) == []
    assert folder.recall() == (None, 0.0)
    (tmp_path / "agent" / "targets.json").write_text('{"tag": "x", "docu')
    assert folder.recall() == (None, 0.0)
    folder.close()
