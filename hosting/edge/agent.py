"""The agent: polls its site every minute, keeps each minute on disk, and sends what waits whenever the line is up.

Polling and sending are two threads that meet in the folder of waiting minutes only: a slow line never delays a reading, and
what was read is on disk before anything else happens to it. Needs no database.
"""

import fcntl
import json
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from events.backoff import delay_s
from hosting.edge.line import BatchRefused, FarmClock, Line, LineDown, Refused
from hosting.edge.targets import machines_of
from hosting.edge.wire import pack_line, write_report
from hosting.states import Collector
from hosting.telemetry.collector import Sweep, SweepReport, new_identities
from hosting.telemetry.spool import Gap, Segment, Spool, Torn
from hosting.telemetry.targets import PolledMiner

KEPT_FOR = timedelta(hours=24)
LIVE = timedelta(minutes=2)
MOST_MINUTES = 30
MOST_LOST = 20_000
MOST_PACKED, MOST_UNPACKED = 3 * 1024 * 1024, 12 * 1024 * 1024
BACKLOG_PAUSE_S = 1.0
REFRESH_S = 60.0
REFUSED_S = 60.0
BACKOFF_S = (1, 2, 4, 8, 15, 30, 60)
PERIOD_S = 60.0


class FolderBusy(Exception):
    """Another agent has this folder."""


@dataclass(frozen=True)
class Known:
    """What the farm last said: kept on disk, so that polling goes on from the first minute of a start without a line."""

    tag: str
    document: dict[str, Any]

    @property
    def site_id(self) -> int:
        return int(self.document["site"]["id"])

    @property
    def site(self) -> str:
        return str(self.document["site"]["name"])

    @property
    def is_ours(self) -> bool:
        """Whether the site is to be read by its agent at all."""
        return bool(self.document["collector"] == Collector.AGENT)


class Folder:
    """The agent's state: `targets.json`, readable by its owner alone, and the waiting minutes. One agent at a time."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._take()
        self.spool = Spool(path / "waiting", max_bytes)
        for unfinished in (path / "waiting").glob("*.writing"):  # of a process that was killed
            unfinished.unlink()

    def _take(self) -> IO[str]:
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise FolderBusy(f"another agent works in {self.path}: give each its own --state") from None
        return lock

    def recall(self) -> tuple[Known | None, float]:
        """What the farm last said, and by how many seconds the host's clock was ahead of it."""
        try:
            kept = json.loads((self.path / "targets.json").read_text())
            known = Known(kept["tag"], kept["document"])
            machines_of(known.document)
            return (known, float(kept["clock_ahead_s"])) if known.site_id else (None, 0.0)
        except (OSError, ValueError, KeyError, TypeError):
            return None, 0.0

    def remember(self, known: Known, clock_ahead_s: float) -> None:
        content = {"tag": known.tag, "document": known.document, "clock_ahead_s": round(clock_ahead_s, 1)}
        writing = self.path / "targets.writing"
        with os.fdopen(os.open(writing, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        writing.replace(self.path / "targets.json")

    def close(self) -> None:
        self._lock.close()


class Agent:
    """`tell` gets a line for people about each minute and each change of the line's state, from either thread."""

    def __init__(self, line: Line, folder: Folder, clock: FarmClock, *, tell: Callable[[str], None]) -> None:
        self.line, self.folder, self.clock, self.tell = line, folder, clock, tell
        self.known, _ = folder.recall()
        self.miners: list[PolledMiner] = machines_of(self.known.document) if self.known else []
        self.stop, self.work = threading.Event(), threading.Event()
        self.at_once = MOST_MINUTES
        self.sent = 0
        self._said = ""

    # --- polling ------------------------------------------------------------------------------------------------------

    def poll(self, minute: datetime | None = None) -> SweepReport | None:
        """Read the machines and keep the minute; None while the farm has not given any to read."""
        known = self.known
        if known is None or not known.is_ours:
            return None
        sweep = Sweep(known.site_id, minute or self.clock.minute(), self.miners)
        said = new_identities(sweep.known, sweep.results)
        self._expire(sweep.facts.minute)
        self.folder.spool.keep(known.site_id, sweep.facts.minute, write_report(sweep.facts, sweep.rows, said))
        names = {identity[0]: identity[1:] for identity in said}
        self.miners = [replace(one, identity=names.get(one.id, one.identity)) for one in self.miners]
        self.work.set()
        return sweep.report(None)

    def _expire(self, now: datetime) -> None:
        for segment in self.folder.spool.waiting():
            if segment.minute >= now - KEPT_FOR:
                return
            self.folder.spool.note_gap(Gap(segment.site_id, segment.minute, "kept for 24 hours"))
            self.folder.spool.done(segment)

    # --- the line -----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Ask the farm for the site's machines. Raises LineDown or Refused; then those of before stay."""
        answer = self.line.targets(self.known.tag if self.known else None)
        if answer is None:
            return
        known = Known(*answer)
        try:
            miners = machines_of(known.document)
            self.tell(f"site {known.site}: {len(miners)} machines" + ("" if known.is_ours else ", read by others"))
        except (KeyError, TypeError, ValueError):
            raise LineDown("the answer is not the farm's") from None
        self.folder.remember(known, self.clock.ahead_s)
        self.known, self.miners = known, miners

    def send(self) -> bool:
        """Send the minute that is live, or else the oldest that wait; False when nothing waits.

        Raises LineDown or Refused, and then everything still waits.
        """
        waiting = self.folder.spool.waiting()
        notes = self.folder.spool.take_gaps()
        lost = [[gap.minute.isoformat(), gap.reason] for gap in notes]
        if not waiting and not lost:
            return False
        chosen, contents = self._choose(waiting)
        head = [pack_line({"waiting": len(waiting) - len(chosen)})]
        head += [pack_line({"lost": lost[-MOST_LOST:]})] if lost else []
        try:
            minutes = self.line.report(b"".join(head + contents))
        except BatchRefused as refused:
            self._take_less(chosen, str(refused))
            return True
        notes.written()
        self._settle(chosen, minutes)
        return True

    def _choose(self, waiting: Sequence[Segment]) -> tuple[list[Segment], list[bytes]]:
        """The newest minute alone while it is news, else as many of the oldest as one batch takes."""
        live = bool(waiting) and waiting[-1].minute >= self.clock.now() - LIVE
        candidates = [waiting[-1]] if live else list(waiting[: self.at_once])
        chosen: list[Segment] = []
        contents: list[bytes] = []
        packed = unpacked = 0
        for segment in candidates:
            try:
                content = self.folder.spool.read(segment)
            except Torn as error:
                self.folder.spool.set_aside(segment, str(error))
                continue
            packed += len(content)
            unpacked += int.from_bytes(content[-4:], "little")  # what gzip says of itself
            if chosen and (packed > MOST_PACKED or unpacked > MOST_UNPACKED):
                break
            chosen.append(segment)
            contents.append(content)
        return chosen, contents

    def _settle(self, chosen: Sequence[Segment], minutes: Sequence[Any]) -> None:
        refused = {m["minute"]: m.get("refused") for m in minutes if isinstance(m, dict) and "minute" in m}
        for segment in chosen:
            minute = segment.minute.isoformat()
            if minute not in refused:
                raise LineDown(f"the farm does not say what became of {minute}")
            if reason := refused[minute]:
                self.tell(f"{segment.minute:%Y-%m-%d %H:%M} is refused: {reason}")
                self.folder.spool.note_gap(Gap(segment.site_id, segment.minute, f"refused: {reason}"[:100]))
            else:
                self.sent += 1
            self.folder.spool.done(segment)

    def _take_less(self, chosen: Sequence[Segment], reason: str) -> None:
        if len(chosen) > 1:
            self.at_once = max(1, len(chosen) // 2)
            return
        self.tell(f"the farm cannot read a minute: {reason}")
        for segment in chosen:
            self.folder.spool.set_aside(segment, f"refused: {reason}"[:100])

    # --- for ever -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Poll and send until `stop` is set; the sweep under way is finished and kept."""
        sender = threading.Thread(target=self.keep_sending, name="sender", daemon=True)
        sender.start()
        while not self.stop.is_set():
            self._poll_and_tell()
            now = self.clock.now()
            self.stop.wait(PERIOD_S - (now.second + now.microsecond / 1e6) % PERIOD_S + 0.05)
        self.work.set()
        sender.join(timeout=5.0)

    def _poll_and_tell(self) -> None:
        try:
            done = self.poll()
        except OSError as error:
            self.tell(f"the minute is lost, it cannot be kept: {error}")
            return
        if done is not None:
            failed = "".join(f", {count} {reason}" for reason, count in sorted(done.failed.items()))
            resting = f", {done.resting} resting" if done.resting else ""
            read = f"{done.online} of {done.miners} read in {done.wall_s:.2f} s{failed}{resting}"
            waiting = len(self.folder.spool.waiting())
            self.tell(f"{done.minute:%H:%M} {read}" + (f"; {waiting} minutes wait" if waiting > 1 else ""))

    def keep_sending(self) -> None:
        """The sender's thread: the live minute at once, the backlog at a bounded rate, and patience while the line is down."""
        failures, refreshed = 0, float("-inf")
        while not self.stop.is_set():
            self.work.clear()
            try:
                more = self.send()
                if (now := time.monotonic()) - refreshed >= REFRESH_S or self.known is None:
                    self.refresh()
                    refreshed = now
            except Refused as refused:
                self._say(str(refused))
                self.stop.wait(REFUSED_S * random.uniform(0.8, 1.2))  # noqa: S311  not a secret
            except LineDown as down:
                failures += 1
                self._say(f"the line is down: {down}")
                chance = random.random()  # noqa: S311  not a secret
                self.stop.wait(max(down.wait_s, delay_s(failures, chance=chance, schedule_s=BACKOFF_S)))
            else:
                if failures or self._said:
                    self._say("")
                    self.tell("the line is up")
                failures = 0
                if more:
                    self.stop.wait(BACKLOG_PAUSE_S)
                else:
                    self.work.wait(REFRESH_S / 4)

    def _say(self, text: str) -> None:
        """The state of the line, when it changes."""
        if text and text != self._said:
            self.tell(text)
        self._said = text

    def send_all(self) -> None:
        """Send until nothing waits. Raises LineDown or Refused."""
        while not self.stop.is_set() and self.send():
            pass
