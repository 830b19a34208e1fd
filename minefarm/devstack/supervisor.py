"""The processes of a demo, started in order, minded, and stopped in reverse order with all they started."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import IO, Self, TextIO

from minefarm.devstack.errors import DevstackError
from minefarm.devstack.guard import end_groups, group_is_alive
from minefarm.devstack.paths import CHECKOUT
from minefarm.devstack.privileges import child_setup

POLL_INTERVAL_S = 0.1
ORPHAN_GRACE_S = 2.0
RECENT_LINES = 30
LONGEST_LINE_BYTES = 16_384
_COLOURS = ("36", "33", "32", "35", "34", "96", "93", "92")
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildDied(DevstackError):
    """A supervised process ended early or too often; the message holds its last lines."""


@dataclass
class Child:
    """One process: how to run it, and what is known of its present run."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None
    ready: Callable[[], bool] | None
    ready_timeout_s: float
    grace_s: float
    colour: str
    process: subprocess.Popen[bytes] | None = None
    unfinished: bytes = b""
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_LINES))
    restarts_s: deque[float] = field(default_factory=deque)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Use as a context manager, from one thread: leaving it stops everything, however it is left.

    Inside, Ctrl-C, SIGTERM and SIGHUP ask it to stop; a second one stops it without grace.
    """

    def __init__(self, *, output: TextIO | None = None, restarts_per_minute: int = 3) -> None:
        self._output = output if output is not None else sys.stdout
        self._coloured = self._output.isatty() and "NO_COLOR" not in os.environ
        self._restarts_per_minute = restarts_per_minute
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._guard: subprocess.Popen[bytes] | None = None
        self._signals: list[int] = []
        self._handlers_before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for signum in _STOP_SIGNALS:
            self._handlers_before[signum] = signal.signal(signum, self._note_signal)
        self._start_guard()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()
        self._stop_guard()
        self._selector.close()
        for signum, handler in self._handlers_before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type] # what signal() itself returned

    @property
    def stopped_by(self) -> int | None:
        """The first signal that asked us to stop."""
        return self._signals[0] if self._signals else None

    def add(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        ready: Callable[[], bool] | None = None,
        ready_timeout_s: float = 60.0,
        grace_s: float = 10.0,
    ) -> None:
        """Describe a process; `env` is added to ours. `ready` is polled and should return within a second."""
        colour = _COLOURS[len(self._children) % len(_COLOURS)]
        self._children.append(Child(name, argv, env, ready, ready_timeout_s, grace_s, colour))

    def start_all(self) -> bool:
        """Start each process and wait until it is ready before the next; False when a signal came in between.

        Raises ChildDied for one that ended, and DevstackError for one that was not ready in time.
        """
        return all(self._start_and_wait(child) for child in self._children)

    def run_until_signal(self) -> int:
        """Relay output and restart what crashed until a stop signal; returns its number."""
        while not self._signals:
            self.pump(POLL_INTERVAL_S)
        return self._signals[0]

    def wait_for(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        """Run until the condition holds; False when a stop signal or the timeout came first."""
        deadline_s = time.monotonic() + timeout_s
        while not self._signals and time.monotonic() < deadline_s:
            if condition():
                return True
            self.pump(POLL_INTERVAL_S)
        return False

    def pump(self, timeout_s: float) -> None:
        """One step: relay what the processes wrote, waiting for it at most `timeout_s`, and restart what crashed."""
        self._relay_output(timeout_s)
        for child in self._children:
            if child.process is not None and not child.is_alive() and not self._signals:
                self._restart(child)

    def stop_all(self) -> None:
        """Stop the processes in reverse order, each within its grace; safe to call twice."""
        for child in reversed(self._children):
            self._stop(child)

    def _start_and_wait(self, child: Child) -> bool:
        if self._signals:
            return False
        self._spawn(child)
        deadline_s = time.monotonic() + child.ready_timeout_s
        while child.ready is not None and not child.ready():
            self._relay_output(POLL_INTERVAL_S)
            if self._signals:
                return False
            if not child.is_alive():
                self._reap(child)
                raise self._death_of(child, "ended before it was ready")
            if time.monotonic() > deadline_s:
                raise self._death_of(child, f"was not ready within {child.ready_timeout_s:.0f} s")
        return not self._signals

    def _spawn(self, child: Child) -> None:
        try:
            child.process = subprocess.Popen(
                child.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(child.env or {})},
                # A session of its own: Ctrl-C reaches us alone, and its process group holds all it starts.
                start_new_session=True,
                preexec_fn=child_setup(account=None, death_signal=signal.SIGTERM),  # noqa: PLW1509 - one prctl, no lock
            )
        except OSError as error:
            raise ChildDied(
                f"{child.name} cannot be started: {error}. Its command is {' '.join(child.argv)}"
            ) from error
        self._tell_guard("add", child.process.pid)
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
            self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _restart(self, child: Child) -> None:
        exit_code = child.process.returncode if child.process is not None else None
        self._reap(child)
        now_s = time.monotonic()
        while child.restarts_s and now_s - child.restarts_s[0] > 60:
            child.restarts_s.popleft()
        if len(child.restarts_s) >= self._restarts_per_minute:
            raise self._death_of(
                child, f"ended (exit {exit_code}) more than {self._restarts_per_minute} times a minute"
            )
        child.restarts_s.append(now_s)
        self._write(child, f"ended (exit {exit_code}), starting it again")
        self._spawn(child)

    def _stop(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        # The leader alone at first: a Celery worker ends its pool itself, after the tasks in hand.
        if process.poll() is None:
            process.terminate()
        deadline_s = time.monotonic() + child.grace_s
        while process.poll() is None and time.monotonic() < deadline_s and len(self._signals) < 2:
            self._relay_output(POLL_INTERVAL_S / 2)
        if process.poll() is None:
            process.kill()
            process.wait()
        self._reap(child)

    def _reap(self, child: Child) -> None:
        """End what a dead leader left in its group, and read the last of its output."""
        process = child.process
        if process is None:
            return
        if group_is_alive(process.pid):
            end_groups([process.pid], grace_s=ORPHAN_GRACE_S)
        if process.stdout is not None:
            self._read(child, process.stdout)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(process.stdout)
            process.stdout.close()
        if child.unfinished:
            self._take_lines(child, b"\n")
        self._tell_guard("drop", process.pid)
        child.process = None

    def _relay_output(self, timeout_s: float) -> None:
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return
        for key, _events in self._selector.select(timeout_s):
            child: Child = key.data
            if child.process is not None and child.process.stdout is not None:
                self._read(child, child.process.stdout)

    def _read(self, child: Child, pipe: IO[bytes]) -> None:
        """Take what is in the pipe now; at its end stop listening, or select() would return at once for ever."""
        while True:
            try:
                part = os.read(pipe.fileno(), 65_536)
            except BlockingIOError:
                return
            if not part:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(pipe)
                return
            self._take_lines(child, part)

    def _take_lines(self, child: Child, part: bytes) -> None:
        *lines, child.unfinished = (child.unfinished + part).split(b"\n")
        if len(child.unfinished) > LONGEST_LINE_BYTES:
            lines.append(child.unfinished)
            child.unfinished = b""
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            child.recent.append(text)
            self._write(child, text)

    def _write(self, child: Child, text: str) -> None:
        width = max(len(other.name) for other in self._children)
        prefix = f"{child.name:<{width}} |"
        if self._coloured:
            prefix = f"\x1b[{child.colour}m{prefix}\x1b[0m"
        # A closed terminal or pipe must not keep us from stopping the processes.
        with contextlib.suppress(OSError):
            print(prefix, text, file=self._output, flush=True)

    def _death_of(self, child: Child, what: str) -> ChildDied:
        lines = "\n".join(f"    {line}" for line in child.recent) or "    (nothing)"
        return ChildDied(f"{child.name} {what}. It wrote last:\n{lines}\nIts command: {' '.join(child.argv)}")

    def _note_signal(self, signum: int, _frame: FrameType | None) -> None:
        self._signals.append(signum)

    def _start_guard(self) -> None:
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "minefarm.devstack.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=CHECKOUT,
            start_new_session=True,
        )

    def _tell_guard(self, verb: str, group_id: int) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.write(f"{verb} {group_id}\n".encode())
                self._guard.stdin.flush()

    def _stop_guard(self) -> None:
        if self._guard is not None:
            self._guard.communicate()
            self._guard = None
