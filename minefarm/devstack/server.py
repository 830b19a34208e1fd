"""A server process the keeper owns: started on a free port, proved ready, stopped cleanly."""

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from minefarm.devstack.errors import DevstackError, PortTaken, next_step
from minefarm.devstack.paths import Home, read_document, unwritable, write_private
from minefarm.devstack.privileges import child_setup, server_account

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 120.0
PROBE_INTERVAL_S = 0.03
PORT_ATTEMPTS = 5
LOG_LIMIT_BYTES = 20_000_000
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class StopStep:
    """A signal and the time it is given to work."""

    signal: signal.Signals
    patience_s: float


class Server(ABC):
    """One embedded server; `start` and `stop` are called by the keeper's only thread."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_steps: ClassVar[Sequence[StopStep]]

    def __init__(self, home: Home) -> None:
        self.home = home
        self.data = home.data_of(self.name)
        self.log_path = home.log_of(self.name)
        self.port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder on the first start, and clear what a crash left of the last one."""

    @abstractmethod
    def command(self, port: int) -> list[str]: ...

    @abstractmethod
    def is_ready(self, port: int) -> bool:
        """Whether this very server (not another on its port) answers a signed-in client."""

    @abstractmethod
    def running_pid(self) -> int | None:
        """The pid of a live server on our data folder, whoever started it."""

    def setup(self) -> Callable[[], None]:
        """What the child does before exec."""
        return child_setup(account=None, death_signal=self.stop_steps[0].signal)

    def environment(self) -> Mapping[str, str]:
        return dict(os.environ)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def password(self) -> str:
        password: str = read_document(self.home.secrets_file)[self.name]
        return password

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Return once the server answers; raise DevstackError with its last words otherwise."""
        try:
            self._start(interrupted)
        except PermissionError as error:
            raise DevstackError(f"{self.title} cannot be started: {error}. {self._permission_hint()}") from error
        except OSError as error:
            raise DevstackError(
                f"{self.title} cannot be started: {error}. {next_step(str(error), self.log_path)}"
            ) from error

    def stop(self) -> None:
        """Stop the server cleanly, and harder step by step when it does not follow."""
        process = self._process
        if process is None:
            return
        for step in self.stop_steps:
            if process.poll() is not None:
                break
            process.send_signal(step.signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(step.patience_s)
        self._process = None
        log.info("%s stopped (exit %s)", self.title, process.returncode)

    def stop_leftover(self) -> None:
        """Stop a server that outlived its keeper; two on one data folder would destroy it."""
        for step in self.stop_steps:
            deadline_s = time.monotonic() + step.patience_s
            pid = self.running_pid()
            if pid is None:
                return
            log.warning("%s of an earlier keeper still runs (pid %d): sending %s", self.title, pid, step.signal.name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, step.signal)
            while time.monotonic() < deadline_s and self.running_pid() is not None:
                time.sleep(PROBE_INTERVAL_S)
        raise DevstackError(f"A {self.title} of an earlier start does not stop (pid {pid}): kill it, then run again.")

    def has_secret(self) -> bool:
        return self.name in read_document(self.home.secrets_file)

    def ensure_secret(self) -> None:
        """Make the server's password, unless it has one."""
        if not self.has_secret():
            known = read_document(self.home.secrets_file)
            write_private(self.home.secrets_file, known | {self.name: secrets.token_urlsafe(24)})

    def last_words(self, *, since: int = 0, lines: int = 8) -> str:
        """The end of the server's log, from byte `since` on."""
        try:
            with self.log_path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(since, end - 20_000))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def _start(self, interrupted: Callable[[], bool]) -> None:
        self.stop_leftover()
        self.prepare()
        for attempt, port in enumerate(self._ports(), start=1):
            try:
                self._start_on(port, interrupted)
            except PortTaken:
                log.warning("%s: port %d was taken (attempt %d)", self.title, port, attempt)
                continue
            self.port = port
            with contextlib.suppress(OSError):
                self.home.port_of(self.name).write_text(str(port), encoding="ascii")
            log.info("%s ready on port %d (pid %s)", self.title, port, self.pid)
            return
        raise DevstackError(
            f"{self.title} found no free port on {LOOPBACK} in {PORT_ATTEMPTS} attempts: "
            f"close programs that hold many ports, then run again. Its log is {self.log_path}."
        )

    def _ports(self) -> Iterator[int]:
        """The port of last time, then free ones."""
        with contextlib.suppress(OSError, ValueError):
            yield int(self.home.port_of(self.name).read_text(encoding="ascii"))
        for _attempt in range(PORT_ATTEMPTS):
            yield free_port()

    def _start_on(self, port: int, interrupted: Callable[[], bool]) -> None:
        log_start = self._open_log_and_spawn(port)
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not self.is_ready(port):
            if not self.is_alive():
                self._process = None
                self._raise_last_words(self.last_words(since=log_start))
            if interrupted() or time.monotonic() > deadline_s:
                self.stop()
                raise DevstackError(
                    f"{self.title} was not ready within {READY_TIMEOUT_S:.0f} s. It logged:\n"
                    f"{self.last_words(since=log_start)}\n"
                    "Run the command again; a long crash recovery goes on from there."
                )
            time.sleep(PROBE_INTERVAL_S)

    def _open_log_and_spawn(self, port: int) -> int:
        try:
            if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
            output = self.log_path.open("ab")
        except OSError as error:
            raise unwritable(self.home.folder, error) from error
        with output:
            log_start = output.tell()
            self._process = subprocess.Popen(
                self.command(port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.data,
                env=self.environment(),
                start_new_session=True,
                # The death signal and the change of user must happen in the child.
                preexec_fn=self.setup(),  # noqa: PLW1509 - the keeper has one thread
            )
        return log_start

    def _raise_last_words(self, words: str) -> None:
        if "Address already in use" in words:
            raise PortTaken(words)
        raise DevstackError(f"{self.title} did not start. It logged:\n{words}\n{next_step(words, self.log_path)}")

    def _permission_hint(self) -> str:
        account = server_account()
        if account is None:
            return "Give this user access to the checkout, or set MINEFARM_STATE_DIR to a folder of its own."
        return (
            f"As root it runs as `{account.name}`, who may not go there, and no capability can be kept here: "
            "put the checkout and its .venv where everybody may read, or set DATABASE_URL."
        )


def free_port() -> int:
    """A loopback port free at this moment; another program may take it before it is used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_server_of(pid: int, *, program: str, mark: str) -> bool:
    """Whether a live process `pid` is `program` with `mark` (a path of ours) in its command line."""
    command = _command_line(pid)
    return program in command and mark in command


def _command_line(pid: int) -> str:
    """The command line of a live process; empty when it is gone or a zombie."""
    if sys.platform != "linux":
        ps = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        return subprocess.run(ps, capture_output=True, text=True, check=False).stdout
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="surrogateescape")
    except OSError:
        return ""
