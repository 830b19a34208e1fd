"""Where a checkout keeps the state of its embedded servers."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from minefarm.devstack.errors import DevstackError

CHECKOUT: Final = Path(__file__).resolve().parents[2]
PROFILES: Final = ("dev", "test")


@dataclass(frozen=True)
class Home:
    """The folder of one profile of one checkout; two homes never share a server, a port or a lock."""

    profile: str
    folder: Path

    @property
    def lease_lock(self) -> Path:
        """Held shared by every user of the servers, exclusively by whoever stops them."""
        return self.folder / "lease"

    @property
    def keeper_lock(self) -> Path:
        """Held exclusively by the one keeper for as long as it lives."""
        return self.folder / "keeper.lock"

    @property
    def state_file(self) -> Path:
        """Ports and pids of the servers that are ready now."""
        return self.folder / "state.json"

    @property
    def secrets_file(self) -> Path:
        return self.folder / "secrets.json"

    @property
    def requests(self) -> Path:
        """Requests to the keeper, and its answers."""
        return self.folder / "requests"

    @property
    def keeper_log(self) -> Path:
        return self.folder / "keeper.log"

    def log_of(self, server: str) -> Path:
        return self.folder / f"{server}.log"

    def data_of(self, server: str) -> Path:
        return self.folder / server

    def port_of(self, server: str) -> Path:
        """Remembers the port of the last start, so that a developer's bookmarks keep working."""
        return self.folder / f"{server}.port"

    def make(self) -> None:
        """Create the folder, or raise DevstackError saying why it cannot be written."""
        try:
            self.requests.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        owner = self.folder.stat().st_uid
        if owner != os.geteuid():
            # Root too: files it left here would lock the owner out.
            raise unwritable(self.folder, f"it belongs to user {owner}, and this is user {os.geteuid()}")
        if not os.access(self.requests, os.W_OK | os.X_OK):
            raise unwritable(self.requests, "it is write-protected")


def state_root() -> Path:
    """The folder of all profiles: MINEFARM_STATE_DIR, else `.minefarm` in the checkout."""
    chosen = os.environ.get("MINEFARM_STATE_DIR")
    return Path(chosen).expanduser().absolute() if chosen else CHECKOUT / ".minefarm"


def home_of(profile: str) -> Home:
    if profile not in PROFILES:
        raise DevstackError(f"There is no dev stack profile {profile!r}: use one of {', '.join(PROFILES)}.")
    return Home(profile=profile, folder=state_root() / profile)


def unwritable(folder: Path, why: object) -> DevstackError:
    return DevstackError(
        f"The embedded servers cannot keep their state in {folder}: {why}. "
        "Work as its owner, make the folder writable, or set MINEFARM_STATE_DIR to a folder of your own."
    )


def write_private(path: Path, document: object) -> None:
    """Replace a JSON file in one step, readable by its owner only."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    draft.replace(path)


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object written by write_private; empty when there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DevstackError(f"{path} cannot be read ({error}): `make clean` starts over with empty servers.") from error
    return document if isinstance(document, dict) else {}


def size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count as nothing."""
    total = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:
                continue
    return total
