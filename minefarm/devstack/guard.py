"""The guard of a supervisor: when the supervisor dies, even by SIGKILL, it ends every process group left behind.

It reads `add PGID` and `drop PGID` lines from its standard input, which only the supervisor holds open, and acts at the
end of the stream. The kernel's death signal alone would miss grandchildren, and does not exist outside Linux.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

GRACE_S = 5.0
POLL_INTERVAL_S = 0.05


def group_is_alive(group_id: int) -> bool:
    """Whether a process of the group still runs; zombies nobody has reaped yet do not count."""
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if sys.platform != "linux":
        return True
    return any(_runs_in(stat, group_id) for stat in Path("/proc").glob("[0-9]*/stat"))


def signal_group(group_id: int, signum: signal.Signals) -> None:
    try:
        os.killpg(group_id, signum)
    except ProcessLookupError:
        return


def end_groups(group_ids: Iterable[int], *, grace_s: float) -> None:
    """SIGTERM to each group, SIGKILL to what is left of them after the grace."""
    left = set(group_ids)
    for group_id in left:
        signal_group(group_id, signal.SIGTERM)
    deadline_s = time.monotonic() + grace_s
    while left and time.monotonic() < deadline_s:
        left = {group_id for group_id in left if group_is_alive(group_id)}
        time.sleep(POLL_INTERVAL_S)
    for group_id in left:
        signal_group(group_id, signal.SIGKILL)


def _runs_in(stat: Path, group_id: int) -> bool:
    try:
        # The name, in brackets, may hold anything; the fields behind it are state, parent, group.
        state, _parent, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return group == str(group_id) and state not in {"Z", "X"}


def main() -> int:
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        verb, group_id = line.split()
        (groups.add if verb == "add" else groups.discard)(int(group_id))
    end_groups(groups, grace_s=GRACE_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
