import json as json_module
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db.models import Sum

from accounts.models import User
from hosting.cgminer.simulator import build_farm
from hosting.models import Miner, Site, TelemetrySweep
from hosting.tasks import sweep_sites
from hosting.telemetry.partitions import maintain_partitions
from minefarm.demo import LOGINS, PASSWORD, real_farm, seed_demo
from minefarm.demo_billing import bill_last_month
from minefarm.devstack import DevstackError
from minefarm.devstack.supervisor import Supervisor
from minefarm.lib.clock import database_now
from minefarm.lib.command import FarmCommand

CGMINER_PORT = 4028
SEED = 7
FAULTS = {"hang": 0.01, "refuse": 0.01, "reboot": 0.02}
CHECK_TIMEOUT_S = 150
PAGES = {"portal": "/accounts/login/", "admin": "/admin/login/", "schema": "/api/v1/schema/", "api": "/api/v1/"}
MAILS = settings.STATE_DIR / "mail"


class Command(FarmCommand):
    help = "A farm of simulated machines with portal, admin, API, worker and beat, until interrupted."
    example = "demo --miners 600 --port 8001"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--miners", type=int, default=240, metavar="N")
        parser.add_argument("--port", type=int, default=8000, help="web port on 127.0.0.1 (default %(default)s)")
        parser.add_argument(
            "--check",
            action="store_true",
            help="wait for a stored sweep and for every page, print what was seen, and stop",
        )

    def handle(self, *, miners: int, port: int, check: bool, **_options: Any) -> None:
        if not 2 <= miners <= 6000:
            raise CommandError("--miners must be from 2 to 6000.")
        if settings.PRODUCTION:
            raise CommandError("The demo does not run in production mode: unset MINEFARM_ENV.")
        refuse_taken_port(port)
        self.say("migrating the database")
        call_command("migrate", verbosity=0, interactive=False)
        maintain_partitions(days_ahead=settings.TELEMETRY_PARTITION_DAYS_AHEAD)
        if real_farm():
            raise CommandError("This database holds a real farm; the demo would mix with it. Use another DATABASE_URL.")
        with own_network() as network:
            self.run(miners, port, network, check=check)

    def run(self, miners: int, port: int, network: str, *, check: bool) -> None:
        faults = {} if check else FAULTS  # the check waits for every machine
        machines = build_farm(miners, host=network, port=CGMINER_PORT, seed=SEED, faults=faults)
        counts = seed_demo(machines)
        self.say("billing last month")
        bill_last_month(by=User.objects.get(email=LOGINS[0].email))
        started = database_now()
        try:
            with Supervisor(output=sys.stderr) as supervisor:
                self.describe(supervisor, miners, port, network, faults)
                if not supervisor.start_all():
                    return
                if check:
                    self.prove(supervisor, miners, port, started)
                    return
                sweep_sites.delay()
                self.welcome(counts, port, network)
                supervisor.run_until_signal()
        except DevstackError as error:
            raise CommandError(str(error)) from error

    def say(self, text: str) -> None:
        """Progress, on stderr: stdout is for the result."""
        print(text, file=sys.stderr, flush=True)

    def describe(self, group: Supervisor, miners: int, port: int, network: str, faults: dict[str, float]) -> None:
        """Everything that runs beside the database and the broker."""
        python, manage = sys.executable, str(settings.BASE_DIR / "manage.py")
        bin_dir = Path(python).parent
        simulate = [python, manage, "simulate_fleet", "--miners", str(miners), "--host", network, "--seed", str(SEED)]
        for name, share in faults.items():
            simulate += ["--fault", f"{name}={share}"]
        group.add("miners", simulate, ready=lambda: accepts(network, CGMINER_PORT), ready_timeout_s=60)
        # On the terminal they would bury everything else, with their PDFs in base64.
        mails = {} if "EMAIL_URL" in os.environ else {"EMAIL_URL": f"filemail:///{quote(str(MAILS))}"}
        celery = [str(bin_dir / "celery"), "-A", "minefarm"]
        group.add(
            "worker",
            [
                *celery,
                "worker",
                "-Q",
                "default,control,telemetry,outbox",
                "-c",
                "2",
                "--without-gossip",
                "--without-mingle",
            ],
            env={"MINEFARM_PROCESS": "worker", "MARKET_SOURCE": "generated"} | mails,
        )
        group.add("beat", [*celery, "beat", "--pidfile", ""], env={"MINEFARM_PROCESS": "beat"})
        web = [str(bin_dir / "gunicorn"), "minefarm.wsgi", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
        group.add(
            "web",
            [*web, "--workers", "2", "--threads", "8", "--log-level", "warning", "--no-control-socket"],
            env={"MINEFARM_PROCESS": "web"} | mails,
            ready=lambda: status_of(f"http://127.0.0.1:{port}/readyz") == 200,
            ready_timeout_s=60,
        )

    def prove(self, group: Supervisor, miners: int, port: int, started: datetime) -> None:
        """Wait for a whole sweep on beat's schedule and for the pages; print one JSON summary or fail."""
        base = f"http://127.0.0.1:{port}"
        wanted = Miner.objects.polled().count()
        self.say("waiting for beat's next sweep, a minute at most")
        if not group.wait_for(lambda: best_minute(started) >= wanted, timeout_s=CHECK_TIMEOUT_S):
            raise CommandError(
                f"After {CHECK_TIMEOUT_S} s only {best_minute(started)} of {wanted} machines have a stored reading."
            )
        stored = best_minute(started)
        pages = {name: status_of(base + path) for name, path in PAGES.items()}
        summary = {
            "miners": miners,
            "stored": stored,
            "sites": list(Site.objects.values("name", "total_miners", "active_miners")),
            "pages": pages,
            "ok": stored == wanted == miners and answers(pages),
        }
        print(json_module.dumps(summary), flush=True)
        if not summary["ok"]:
            raise SystemExit(1)

    def welcome(self, counts: dict[str, int], port: int, network: str) -> None:
        base = f"http://127.0.0.1:{port}"
        farms = ", ".join(f"{name} with {count} machines" for name, count in counts.items())
        lines = [
            "",
            f"  MineFarm runs: {farms}. A sweep every minute.",
            "",
            f"  Portal   {base}/",
            f"  Admin    {base}/admin/",
            f"  API      {base}/api/v1/docs/",
            f"  Machines from {network} on: .venv/bin/python manage.py poll_miner {network}",
            "",
            f"  Password of all logins: {PASSWORD}",
            *(f"    {login.email:38} {login.sees}" for login in LOGINS),
            "",
            *([] if "EMAIL_URL" in os.environ else [f"  Mails are files in {MAILS}"]),
            "  Ctrl-C stops all of it.",
            "",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def best_minute(since: datetime) -> int:
    """Readings stored in the fullest minute since then, over all sites."""
    minutes = TelemetrySweep.objects.filter(minute__gte=since).values("minute").annotate(total=Sum("stored"))
    return max((row["total"] for row in minutes), default=0)


def answers(pages: dict[str, int]) -> bool:
    """Pages are 200; the API root asks who is there."""
    return pages["api"] in {200, 401, 403} and all(code == 200 for name, code in pages.items() if name != "api")


def refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}): try `make demo PORT={port + 1}`."
            ) from None


@contextmanager
def own_network() -> Iterator[str]:
    """First address of a loopback network that no other demo uses for as long as this one runs.

    The port beside CGMiner's is the reservation: two demos that start in the same second cannot both bind it.
    """
    for number in range(10, 120):
        host = f"127.{number}.0.1"
        with socket.socket() as reservation, socket.socket() as probe:
            try:
                reservation.bind((host, CGMINER_PORT - 1))
                probe.bind((host, CGMINER_PORT))
            except OSError:
                continue
            probe.close()
            yield host
            return
    raise CommandError(f"Port {CGMINER_PORT} is taken on 127.10.0.1 to 127.119.0.1: stop another demo.")


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def status_of(url: str) -> int:
    """HTTP status of a page on loopback; 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:  # noqa: S310  our own http address
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
