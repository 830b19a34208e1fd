"""Who a child runs as and what becomes of it when its parent dies (Linux; elsewhere the parts that exist)."""

import ctypes
import os
import pwd
import signal
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minefarm.devstack.errors import DevstackError

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilityWord(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


@dataclass(frozen=True)
class ServerAccount:
    """The unprivileged account that runs PostgreSQL for root, which PostgreSQL itself refuses to run as."""

    name: str
    uid: int
    gid: int


def server_account() -> ServerAccount | None:
    """`nobody` when we are root; None when we already are an ordinary user."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise DevstackError(
            "PostgreSQL refuses to run as root, and this system has no user `nobody` to run it as: "
            "add one (useradd --system nobody), work as an ordinary user, or set DATABASE_URL."
        ) from error
    return ServerAccount(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def is_open_to_others(path: Path) -> bool:
    """Whether any account may read (and enter or run) this path, all its parent folders included."""
    resolved = path.resolve()
    mode = resolved.stat().st_mode
    wanted = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
    parents_open = all(parent.stat().st_mode & stat.S_IXOTH for parent in resolved.parents)
    return parents_open and mode & wanted == wanted


def child_setup(
    *, account: ServerAccount | None, death_signal: signal.Signals | None, paths: Iterable[Path] = ()
) -> Callable[[], None]:
    """What a child does between fork and exec; safe there, for everything slow is done here, before the fork.

    The child becomes `account`. Where that account could not reach one of `paths`, it keeps the one capability
    that lets it, so no permission of any folder is changed. It gets `death_signal` when the forking thread dies.
    """
    _libc()
    parent = os.getpid()
    keep_override = account is not None and not all(is_open_to_others(path) for path in paths)

    def setup() -> None:
        if account is not None:
            _become(account, keep_override=keep_override)
        # Last: a change of user clears the death signal.
        if death_signal is not None:
            _die_with_parent(death_signal, parent)

    return setup


def _become(account: ServerAccount, *, keep_override: bool) -> None:
    # initdb and postgres ask access(2) whether they may run themselves, and access(2) disregards the capabilities of
    # an ordinary user unless this bit is set.
    kept = keep_override and _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if kept:
        _keep_only_override()


def _keep_only_override() -> None:
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_DAC_OVERRIDE
    words = (_CapabilityWord * 2)(_CapabilityWord(bit, bit, bit), _CapabilityWord(0, 0, 0))
    if _libc().capset(ctypes.byref(header), words) != 0:
        # A container may not have it to give: then nothing at all may stay of root's.
        nothing = (_CapabilityWord * 2)()
        if _libc().capset(ctypes.byref(header), nothing) != 0:
            os._exit(126)
        return
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def _die_with_parent(death_signal: signal.Signals, parent: int) -> None:
    _prctl(PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != parent:
        os._exit(125)


def _prctl(option: int, *arguments: int) -> bool:
    """Linux's prctl(2); False where it fails or does not exist."""
    if sys.platform != "linux":
        return False
    padded = [*arguments, 0, 0, 0, 0][:4]
    result: int = _libc().prctl(option, *(ctypes.c_ulong(argument) for argument in padded))
    return result == 0


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
