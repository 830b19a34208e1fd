"""Figures 1 to 3: reading 6,000 simulated machines over TCP on loopback.

1. CPU of a sweep's reading against a hand-written epoll loop that reads the same replies and does not parse them (goal 3.0).
2. CPU per machine at 12,000 against 1,500 (goal 1.25).
3. Wall time with 10 % hanging and 1 % dripping against timeout + 1.5 times the healthy wall time, every healthy one read.

The machines run in a process of their own, so their CPU is not counted.
"""

import argparse
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from _farm import ROOT, report

TIMEOUT_S = 3.0
RUNS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=6000, help="default %(default)s")
    miners = parser.parse_args().miners
    met = [*cpu_figures(miners), wall_figure(miners)]
    return 0 if all(met) else 1


@contextmanager
def farm(miners: int, network: int, *faults: str) -> Iterator[list[tuple[str, int]]]:
    """Simulated machines in their own process; yields the addresses."""
    from hosting.cgminer.client import raise_open_files
    from hosting.cgminer.simulator import build_farm, parse_fault

    raise_open_files(miners + 100)
    host = f"127.{network}.0.1"
    command = [
        sys.executable,
        str(ROOT / "manage.py"),
        "simulate_fleet",
        "--json",
        "--web-port",
        "0",
        "--miners",
        str(miners),
        "--host",
        host,
    ]
    for fault in faults:
        command += ["--fault", fault]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise SystemExit("the simulated farm did not start")
            simulated = build_farm(miners, host=host, faults=dict(parse_fault(fault) for fault in faults))
            yield [(miner.host, miner.port) for miner in simulated]
        finally:
            process.send_signal(signal.SIGTERM)


def read_bare(
    addresses: list[tuple[str, int]], remembered: dict[tuple[str, int], str | None], at_once: int = 1000
) -> int:
    """The limit: epoll, non-blocking sockets, the same requests, one read-to-end each; nothing is parsed.

    A firmware that refuses joined commands is asked twice here, too. Returns the number of replies.
    """
    poller = select.epoll()
    requests = [
        (address, b'{"command":"%s"}' % request.encode())
        for address in addresses
        for request in (remembered.get(address) or "summary+stats").split(",")
    ]
    waiting = iter(requests)
    open_sockets: dict[int, socket.socket] = {}
    request_of: dict[int, bytes] = {}
    done = 0

    def start_one() -> bool:
        address, request = next(waiting, (None, b""))
        if address is None:
            return False
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(address)
        open_sockets[one.fileno()] = one
        request_of[one.fileno()] = request
        poller.register(one, select.EPOLLOUT)
        return True

    for _ in range(at_once):
        if not start_one():
            break
    while open_sockets:
        for number, event in poller.poll():
            one = open_sockets[number]
            if event & select.EPOLLOUT:
                one.send(request_of[number])
                poller.modify(number, select.EPOLLIN)
                continue
            data = one.recv(65536)
            if not data or data[-1] == 0:
                poller.unregister(number)
                open_sockets.pop(number).close()
                done += 1
                start_one()
    poller.close()
    return done


def read_ours(addresses: list[tuple[str, int]], remembered: dict[tuple[str, int], str | None]) -> int:
    """As the collector does: every machine asked in the way that was remembered. Returns the number of readings."""
    import uvloop

    from hosting.cgminer.client import Target, poll_many

    targets = [Target(host, port, remembered.get((host, port))) for host, port in addresses]
    results = uvloop.run(poll_many(targets, timeout_s=TIMEOUT_S))
    remembered.update({(result.host, result.port): result.command_set for result in results if result.command_set})
    return sum(1 for result in results if result.reading is not None)


def cpu_s(work: Callable[[], int], expected: int) -> tuple[float, float]:
    """Median CPU and wall seconds of a few runs, after one that is not counted."""
    cpu, wall = [], []
    for run in range(RUNS + 1):
        started, cpu_started = time.perf_counter(), time.process_time()
        found = work()
        if run:
            cpu.append(time.process_time() - cpu_started)
            wall.append(time.perf_counter() - started)
            assert found == expected, f"{found} of {expected} answered"
    return statistics.median(cpu), statistics.median(wall)


def cpu_figures(miners: int) -> Iterator[bool]:
    remembered: dict[tuple[str, int], str | None] = {}
    with farm(2 * miners, 100) as addresses:
        some, few = addresses[:miners], addresses[: miners // 4]
        read_ours(addresses, remembered)
        exchanges = sum(len((remembered[address] or "").split(",")) for address in some)
        limit, _ = cpu_s(lambda: read_bare(some, remembered), exchanges)
        ours, wall = cpu_s(lambda: read_ours(some, remembered), miners)
        facts = {
            "miners": miners,
            "cpu_s": round(ours, 3),
            "limit_cpu_s": round(limit, 3),
            "wall_s": round(wall, 2),
            "exchanges": exchanges,
        }
        yield report("1 CPU of a sweep / raw epoll loop", value=ours / limit, goal=3.0, **facts)
        most, _ = cpu_s(lambda: read_ours(addresses, remembered), 2 * miners)
        least, _ = cpu_s(lambda: read_ours(few, remembered), miners // 4)
        ratio = (most / len(addresses)) / (least / len(few))
        yield report(f"2 CPU per machine at {len(addresses)} / at {len(few)}", value=ratio, goal=1.25)


def wall_figure(miners: int) -> bool:
    remembered: dict[tuple[str, int], str | None] = {}
    with farm(miners, 101) as addresses:
        _, healthy_s = cpu_s(lambda: read_ours(addresses, remembered), miners)
    remembered.clear()
    with farm(miners, 102, "hang=0.10", "drip=0.01") as addresses:
        well = miners - round(0.10 * miners) - round(0.01 * miners)
        _, faulty_s = cpu_s(lambda: read_ours(addresses, remembered), well)
    goal = TIMEOUT_S + 1.5 * healthy_s
    facts = {"miners": miners, "read": well, "healthy_wall_s": round(healthy_s, 2)}
    return report("3 wall with 10 % hanging, 1 % dripping, s", value=faulty_s, goal=goal, **facts)


if __name__ == "__main__":
    sys.exit(main())
