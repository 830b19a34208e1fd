"""The embedded Valkey: its configuration and its proof of life."""

import os
import signal
import socket
from collections.abc import Sequence
from typing import ClassVar

from minefarm.devstack.binaries import valkey_server
from minefarm.devstack.paths import Home
from minefarm.devstack.server import LOOPBACK, Server, StopStep, is_server_of

PROBE_TIMEOUT_S = 1.0

_BY_PROFILE = {
    "dev": ("appendonly yes", "appendfsync everysec", 'save ""'),
    "test": ("appendonly no", 'save ""'),
}


class Valkey(Server):
    """Valkey on a loopback port; as root too it runs as the keeper's user, for it does not mind."""

    name: ClassVar[str] = "valkey"
    title: ClassVar[str] = "The embedded Valkey"
    stop_steps: ClassVar[Sequence[StopStep]] = (
        StopStep(signal.SIGTERM, 15.0),
        StopStep(signal.SIGKILL, 5.0),
    )

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._binary = valkey_server()
        self._configuration = self.data / "valkey.conf"
        self._pid_file = self.data / "valkey.pid"

    def prepare(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.ensure_secret()
        self._pid_file.unlink(missing_ok=True)

    def command(self, port: int) -> list[str]:
        # The password goes through a file: everybody may read a command line.
        self._configuration.unlink(missing_ok=True)
        lines = [f"bind {LOOPBACK}", f"requirepass {self.password}", "maxmemory-policy noeviction", "tcp-backlog 128"]
        # The folder is the working directory, so no path needs the configuration file's quoting.
        lines += ["pidfile valkey.pid", "dir .", "daemonize no", *_BY_PROFILE[self.home.profile]]
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        return [str(self._binary), str(self._configuration), "--port", str(port), "--set-proc-title", "no"]

    def is_ready(self, port: int) -> bool:
        if not self._pid_file.exists():
            return False
        try:
            with socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_S) as client:
                client.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return _read_lines(client, 2) == [b"+OK", b"+PONG"]
        except OSError:
            return False

    def running_pid(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if is_server_of(pid, program="valkey-server", mark=str(self._configuration)) else None


def _read_lines(client: socket.socket, count: int) -> list[bytes]:
    received = b""
    while received.count(b"\r\n") < count:
        part = client.recv(256)
        if not part:
            break
        received += part
    return received.split(b"\r\n")[:-1]
