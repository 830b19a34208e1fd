"""The embedded PostgreSQL: its cluster, its settings, its proof of life."""

import locale
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from minefarm.devstack.binaries import postgres_folder
from minefarm.devstack.errors import DevstackError, next_step
from minefarm.devstack.paths import Home
from minefarm.devstack.privileges import child_setup, server_account
from minefarm.devstack.server import LOOPBACK, Server, StopStep, is_server_of

ROLE = "minefarm"
DATABASE = "minefarm"
INITDB_TIMEOUT_S = 300.0

_COMMON = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
_BY_PROFILE = {
    "dev": {"shared_buffers": "256MB"},
    "test": {"shared_buffers": "128MB", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
}


class Postgres(Server):
    """PostgreSQL on a loopback port, with one superuser and one database of ours."""

    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "The embedded PostgreSQL"
    stop_steps: ClassVar[Sequence[StopStep]] = (
        StopStep(signal.SIGINT, 30.0),  # "fast": roll back, write a checkpoint
        StopStep(signal.SIGQUIT, 5.0),  # "immediate": the next start recovers
        StopStep(signal.SIGKILL, 5.0),
    )

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._binaries = postgres_folder()
        self._account = server_account()

    def prepare(self) -> None:
        if not self.data.exists():
            self._initialise()
            return
        self._check_version()
        if not self.has_secret():
            raise DevstackError(
                f"The password of the PostgreSQL in {self.data} is lost: `make clean` starts over with empty servers."
            )
        self._drop_foreign_pid_file()

    def command(self, port: int) -> list[str]:
        settings = _COMMON | _BY_PROFILE[self.home.profile] | {"port": str(port)}
        if any((self._binaries.parent / "lib").rglob("pg_stat_statements.*")):
            settings["shared_preload_libraries"] = "pg_stat_statements"
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.data), *options]

    def environment(self) -> Mapping[str, str]:
        # A developer's PGDATA, PGPORT or PGOPTIONS is meant for another server.
        return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}

    def setup(self) -> Callable[[], None]:
        return self._setup(signal.SIGINT)

    def is_ready(self, port: int) -> bool:
        status = self._pid_file()
        # The server writes its own state into line 8; asking before would only fill its log with refusals.
        if len(status) < 8 or status[0].strip() != str(self.pid) or status[7].strip() != "ready":
            return False
        asked = subprocess.run(
            [
                self._binaries / "psql",
                "-XAtqw",
                "-h",
                LOOPBACK,
                "-p",
                str(port),
                "-U",
                ROLE,
                "-d",
                DATABASE,
                "-c",
                "SELECT 1",
            ],
            env={**self.environment(), "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "5"},
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip() == "1"

    def running_pid(self) -> int | None:
        pid = self._recorded_pid()
        return pid if pid is not None and is_server_of(pid, program="postgres", mark=str(self.data)) else None

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there when it is whole: a killed start leaves no half one."""
        draft = self.data.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        self.ensure_secret()
        draft.mkdir(mode=0o700)
        password_file = draft.with_name("postgres.pw")
        password_file.unlink(missing_ok=True)
        try:
            password_file.touch(mode=0o600, exist_ok=False)
            password_file.write_text(self.password + "\n", encoding="ascii")
            if self._account is not None:
                os.chown(draft, self._account.uid, self._account.gid)
                os.chown(password_file, self._account.uid, self._account.gid)
            self._run("initdb", "-D", str(draft), "-U", ROLE, f"--pwfile={password_file}", *self._initdb_options())
        finally:
            password_file.unlink(missing_ok=True)
        self._run("postgres", "--single", "-D", str(draft), "postgres", typed=f"CREATE DATABASE {DATABASE};\n")
        draft.rename(self.data)

    def _initdb_options(self) -> list[str]:
        options = ["--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", f"--locale={_system_locale()}"]
        # The built-in provider sorts the same on every system, whatever its C library.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return [*options, "--no-sync"] if self.home.profile == "test" else options

    def _run(self, program: str, *arguments: str, typed: str = "") -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=INITDB_TIMEOUT_S,
            cwd=self.home.folder,
            env=self.environment(),
            preexec_fn=self._setup(signal.SIGKILL),
        )
        with self.log_path.open("a", encoding="utf-8") as log_file:
            log_file.write(done.stdout)
        # In single-user mode a failed statement is logged and the exit code stays 0.
        if done.returncode != 0 or "ERROR:" in done.stdout or "FATAL:" in done.stdout:
            words = _complaints(done.stdout)
            raise DevstackError(
                f"{self.title} could not be set up ({program}, exit {done.returncode}):\n{words}\n"
                f"{next_step(words, self.log_path)}"
            )

    def _setup(self, death_signal: signal.Signals) -> Callable[[], None]:
        share = self._binaries.parent / "share" / "postgres.bki"
        reached = [self._binaries / "postgres", self.home.folder, *([share] if share.exists() else [])]
        return child_setup(account=self._account, death_signal=death_signal, paths=reached)

    def _check_version(self) -> None:
        shown = subprocess.run([self._binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        wheel = shown.stdout.split()[-1].split(".")[0]
        try:
            cluster = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        except OSError as error:
            raise DevstackError(
                f"{self.data} is no PostgreSQL data folder of this user ({error}): "
                "remove it as its owner, then run again."
            ) from error
        if cluster != wheel:
            raise DevstackError(
                f"The data in {self.data} was made by PostgreSQL {cluster}, the installed wheel is {wheel}: "
                "`make clean` starts over with empty servers, or install the older wheel to dump the data first."
            )

    def _drop_foreign_pid_file(self) -> None:
        """After a crash the recorded pid may belong to an unrelated program, which PostgreSQL would wait for."""
        pid = self._recorded_pid()
        if pid is None or self.running_pid() is not None:
            return
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return  # PostgreSQL sees that itself, and then also looks for orphaned shared memory.
        except PermissionError:
            pass
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _recorded_pid(self) -> int | None:
        lines = self._pid_file()
        return abs(int(lines[0])) if lines and lines[0].strip().lstrip("-").isdigit() else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            return []


def _complaints(output: str) -> str:
    """What a program complained of; where it says nothing plainly, its last lines."""
    lines = output.strip().splitlines()
    plain = [
        line for line in lines if any(word in line for word in ("rror:", "FATAL:", "ERROR:", "HINT:", "could not"))
    ]
    return "\n".join(plain[-8:] or lines[-8:])


def _system_locale() -> str:
    """C.UTF-8 where the C library has it: full-text parsing and pg_trgm still ask it what a letter is."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    else:
        return "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
