import signal
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from hosting.edge.agent import Agent, Folder, FolderBusy
from hosting.edge.line import BadServer, FarmClock, Line, LineDown, Refused, TokenFile
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Read the machines of a site that the farm cannot reach, every minute, and report them to the farm over HTTPS."
        " Needs no database: only this package and a folder."
    )
    example = (
        "edge_agent --server https://farm.example.com --token-file /etc/minefarm/site-token --state /var/lib/minefarm"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--server", required=True, metavar="URL", help="the farm's address; https, or this host")
        parser.add_argument("--token-file", required=True, type=Path, metavar="FILE", help="holds the site's token")
        parser.add_argument("--state", type=Path, metavar="DIR", help="where minutes wait; `agent` in the state folder")
        parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust instead of the usual ones")
        parser.add_argument("--once", action="store_true", help="read and send one minute and what waits, then end")

    def handle(
        self,
        *,
        server: str,
        token_file: Path,
        state: Path | None,
        ca: Path | None,
        once: bool,
        json: bool,
        **_options: Any,
    ) -> None:
        if json and not once:
            raise CommandError("Without --once there is no end to print a document at: add it, or leave out --json.")
        try:
            folder = Folder(state or Path(settings.STATE_DIR) / "agent", settings.TELEMETRY_SPOOL_MAX_MB * 1024 * 1024)
            _, clock_ahead_s = folder.recall()
            clock = FarmClock(clock_ahead_s)
            token = TokenFile(token_file)
            token.read()
            line = Line(server, token, clock, ca=ca)
        except (FolderBusy, BadServer, Refused, OSError) as error:
            raise CommandError(str(error)) from None
        try:
            self.work(Agent(line, folder, clock, tell=self.teller(quiet=json)), once=once, json=json)
        finally:
            line.close()
            folder.close()

    def teller(self, *, quiet: bool) -> Any:
        printing = threading.Lock()

        def tell(text: str) -> None:
            if not quiet:
                with printing:
                    self.stdout.write(text)
                    self.stdout.flush()

        return tell

    def work(self, agent: Agent, *, once: bool, json: bool) -> None:
        try:
            agent.refresh()
        except Refused as refused:
            if agent.known is None or once:
                raise CommandError(f"{refused}.") from None
            agent.tell(str(refused))
        except LineDown as down:
            agent.tell(f"the line is down: {down}")
        if once:
            self.one_minute(agent, json=json)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop.set())
        agent.run()
        agent.tell(f"stopped; {agent.sent} minutes sent, {len(agent.folder.spool.waiting())} wait")

    def one_minute(self, agent: Agent, *, json: bool) -> None:
        try:
            read = agent.poll()
        except OSError as error:
            raise CommandError(f"The minute cannot be kept: {error}.") from None
        problem = None
        try:
            agent.send_all()
        except (LineDown, Refused) as error:
            problem = str(error)
        if agent.known is None:
            raise CommandError(f"The farm has not told which machines to read: {problem or 'the line is down'}.")
        document = {
            "site": agent.known.site,
            "minute": read.minute if read else None,
            "miners": read.miners if read else 0,
            "online": read.online if read else 0,
            "failed": read.failed if read else {},
            "resting": read.resting if read else 0,
            "sent_minutes": agent.sent,
            "waiting_minutes": len(agent.folder.spool.waiting()),
            "problem": problem,
        }
        text = f"{document['online']} of {document['miners']} machines read; {agent.sent} minutes sent"
        if read is None:
            text = f"{agent.known.site} is read by others: set Read by to the agent in Admin. {agent.sent} minutes sent"
        self.emit(document, f"{text}, {document['waiting_minutes']} wait", as_json=json)
        if problem:
            if not json:
                self.stderr.write(problem)
            raise SystemExit(1)
