"""Simulated machines: the same for a seed, slow as real ones, and ill as told."""

import asyncio
import itertools
import socket
import time
from collections import Counter

import pytest

from hosting.cgminer.client import Target, poll, poll_many
from hosting.cgminer.reading import ReadError
from hosting.cgminer.simulator import FAULTS, Phase, SimulatedFarm, addresses, build_farm, parse_fault
from tests.hosting.cgminer.device import network, open_files, run


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def one_miner(make="Antminer", *, fault=None):
    """A machine on a clock of its own."""
    miner = next(miner for miner in build_farm(60) if miner.make == make)
    clock = Clock()
    fields = {
        name: getattr(miner, name) for name in ("number", "host", "port", "make", "model", "serial", "mac", "traits")
    }
    return type(miner)(**fields, fault=fault, clock=clock, wall_clock=lambda: 1_790_000_000.0), clock


async def serve(miners, work):
    farm = SimulatedFarm(miners)
    await farm.start()
    try:
        return await work()
    finally:
        await farm.stop()


def targets(miners, command_set=None):
    return [Target(miner.host, miner.port, command_set, miner.number) for miner in miners]


def identity(miner):
    return (miner.host, miner.port, miner.make, miner.model.name, miner.serial, miner.mac, miner.fault, miner.traits)


def test_a_seed_gives_the_same_farm_each_time_and_another_seed_another():
    faults = {"hang": 0.05, "drip": 0.01}
    first, again = (build_farm(200, seed=7, faults=faults) for _ in range(2))
    assert [identity(miner) for miner in first] == [identity(miner) for miner in again]
    assert [miner.traits for miner in first] != [miner.traits for miner in build_farm(200, seed=8)]


def test_a_farm_mixes_makes_and_models_and_no_two_machines_are_one():
    farm = build_farm(400)
    assert {miner.make for miner in farm} == {"Antminer", "Whatsminer", "Generic"}
    assert len({miner.model.name for miner in farm}) == 19
    assert len({miner.serial for miner in farm}) == len({miner.mac for miner in farm}) == 400


def test_addresses_follow_each_other_and_leave_out_network_and_broadcast():
    assert addresses(3, "127.10.0.254", 4028) == [("127.10.0.254", 4028), ("127.10.1.1", 4028), ("127.10.1.2", 4028)]
    assert addresses(2, "127.0.0.1", 9000, ports=True) == [("127.0.0.1", 9000), ("127.0.0.1", 9001)]
    assert [miner.port for miner in build_farm(3, host="127.0.0.1", port=9000)] == [9000, 9001, 9002]


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "192.168.1.2", "::1", "128.0.0.1"])
def test_nothing_outside_loopback_is_ever_bound(host):
    with pytest.raises(ValueError, match=r"127\.0\.0\.0/8"):
        build_farm(1, host=host)
    miner = build_farm(1)[0]
    miner.host = host if ":" not in host else "10.0.0.1"
    with pytest.raises(OSError, match="not loopback"):
        run(SimulatedFarm([miner]).start())


def test_a_farm_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="lower first address"):
        addresses(600, "127.255.254.1", 4028)
    with pytest.raises(ValueError, match="lower port"):
        addresses(2, "127.0.0.1", 65_535, ports=True)


def test_faults_are_given_to_exactly_their_share():
    farm = build_farm(1000, faults={"hang": 0.05, "drip": 0.01, "refuse": 0.0001})
    assert Counter(miner.fault for miner in farm) == {None: 939, "hang": 50, "drip": 10, "refuse": 1}


def test_a_fault_is_named_with_its_share():
    assert parse_fault("hang=0.05") == ("hang", 0.05)
    for text in ("hang", "hang=", "hang=2", "hang=-1", "hang=x", "hang=nan"):
        with pytest.raises(ValueError, match="share from 0 to 1"):
            parse_fault(text)
    with pytest.raises(ValueError, match=", ".join(FAULTS)):
        parse_fault("smoke=0.1")
    with pytest.raises(ValueError, match="no fault 'smoke'"):
        build_farm(1, faults={"smoke": 0.1})
    with pytest.raises(ValueError, match="more than the whole farm"):
        build_farm(10, faults={"hang": 0.6, "drip": 0.6})


def test_a_stopped_machine_falls_to_standby_within_ten_seconds():
    miner, clock = one_miner()
    full_w, average_ths = miner.power_w, miner.hashrate_avg_ths
    assert full_w == pytest.approx(float(miner.model.power_w), rel=0.15)
    miner.stop()
    assert miner.power_w == pytest.approx(full_w, rel=0.05)
    clock.now += 3
    assert miner.phase is Phase.STOPPING
    assert 0.25 * full_w < miner.power_w < 0.4 * full_w
    clock.now += 7
    assert (miner.phase, miner.hashrate_ths) == (Phase.SLEEPING, 0.0)
    assert miner.power_w < 0.05 * full_w
    clock.now += 60
    assert 24 <= miner.power_w <= 62
    assert miner.hashrate_avg_ths == pytest.approx(average_ths, rel=0.02)  # the session's average tells nothing


def test_a_woken_machine_returns_over_tens_of_seconds():
    miner, clock = one_miner()
    full_w = miner.power_w
    miner.stop()
    clock.now += 60
    miner.wake()
    seen = []
    for _ in range(5):
        clock.now += 10
        seen.append((round(miner.power_w / full_w, 1), miner.hashrate_ths > 0))
    assert seen[0] == (0.1, False)
    assert [hashes for _, hashes in seen] == [False, True, True, True, True]
    assert seen == sorted(seen)
    assert miner.phase is Phase.HASHING
    assert miner.power_w == pytest.approx(full_w, rel=0.04)


def test_a_machine_cools_when_it_sleeps_and_warms_when_it_wakes():
    miner, clock = one_miner()
    hot_c = miner.chip_c
    miner.stop()
    clock.now += 600
    cold_c = miner.chip_c
    assert cold_c < miner.traits.ambient_c + 4 < hot_c - 30
    miner.wake()
    clock.now += 600
    assert miner.chip_c == pytest.approx(hot_c, abs=2)


def test_a_machine_that_refuses_to_wake_takes_the_order_and_sleeps_on():
    miner, clock = one_miner(fault="refuses_wake")
    miner.stop()
    clock.now += 60
    miner.wake()
    clock.now += 600
    assert (miner.phase, miner.hashrate_ths) == (Phase.SLEEPING, 0.0)


def test_a_reboot_begins_uptime_and_counters_again():
    miner, clock = one_miner()
    assert miner.uptime_s > 3000
    miner.reboot()
    assert not miner.answers
    clock.now += 31
    assert (miner.answers, miner.uptime_s, miner.accepted) == (True, 1, 0)
    clock.now += 600
    assert (miner.phase, miner.uptime_s) == (Phase.HASHING, 601)
    assert miner.accepted > 0


def test_a_machine_that_reboots_again_and_again_is_down_half_a_minute_each_time():
    miner, clock = one_miner(fault="reboot")
    down = []
    for _ in range(int(3.5 * miner.traits.reboot_every_s)):
        clock.now += 1
        down.append(not miner.answers)
    falls = sum(1 for before, after in itertools.pairwise(down) if after and not before)
    assert falls == 3
    assert sum(down) == pytest.approx(90, abs=3)


def test_noise_is_small_and_the_same_for_the_same_moment():
    (first, one), (second, two) = one_miner(), one_miner()
    watts = []
    for _ in range(300):
        one.now += 1
        two.now += 1
        watts.append(first.power_w)
        assert second.power_w == watts[-1]
    assert len(set(watts)) == 300
    assert max(watts) / min(watts) < 1.03


def test_speed_makes_a_machine_live_faster():
    miner = build_farm(1, speed=100.0)[0]
    clock = miner.clock = Clock()
    miner.__post_init__()
    miner.stop()
    clock.now += 0.1
    assert miner.phase is Phase.SLEEPING


def test_every_machine_of_a_mixed_farm_is_read_as_what_it_is():
    miners = build_farm(60, host=network(11))

    async def work():
        first = await poll_many(targets(miners))
        known = {result.key: result.command_set for result in first}
        again = await poll_many([Target(m.host, m.port, known[m.number], m.number) for m in miners])
        return first, again

    for results in run(serve(miners, work)):
        assert len(results) == 60
        for result in results:
            miner = miners[result.key]
            assert result.error is None
            assert result.reading.make == {"Generic": None}.get(miner.make, miner.make)
            assert result.reading.hashrate_ths == pytest.approx(float(miner.model.hashrate_ths), rel=0.12)
            assert result.reading.temperature_c == pytest.approx(miner.chip_c, abs=2)
            assert result.reading.uptime_s == pytest.approx(miner.uptime_s, abs=2)
            assert bool(result.reading.power_w) == (miner.make != "Generic")
            expected = {"Whatsminer": "summary", "Generic": "summary+devs"}.get(miner.make)
            assert result.command_set == (expected or ("summary+stats" if miner.joins else "summary,stats"))


FAULTY = {
    "hang": {ReadError.TIMEOUT},
    "refuse": {ReadError.REFUSED},
    "drip": {ReadError.TIMEOUT},
    "garbage": {ReadError.BAD_JSON},
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_machine_fails_as_its_fault_says(fault):
    miners = build_farm(12, host=network(12), faults={fault: 1.0})
    results = run(serve(miners, lambda: poll_many(targets(miners), timeout_s=0.5)))
    assert {result.error for result in results} == FAULTY[fault]


def test_a_machine_with_a_wrong_clock_is_read_and_years_off():
    miners = build_farm(6, host=network(13), faults={"wrong_clock": 1.0})
    results = run(serve(miners, lambda: poll_many(targets(miners))))
    assert {result.error for result in results} == {None}
    assert all(abs(result.reading.device_time - time.time()) > 2 * 365 * 86_400 for result in results)


def test_a_rebooting_machine_hangs_up():
    miners = build_farm(1, host=network(14))
    miners[0].reboot()
    result = run(serve(miners, lambda: poll(miners[0].host, miners[0].port, timeout_s=0.5)))
    assert result.error is ReadError.CLOSED


def test_a_farm_takes_and_gives_back_its_ports():
    miners = build_farm(300, host=network(15))

    async def twice():
        counts = []
        for _ in range(2):
            farm = SimulatedFarm(miners)
            await farm.start()
            counts.append(open_files())
            await farm.stop()
            await asyncio.sleep(0.05)
            counts.append(open_files())
        return counts

    listening, stopped, again, gone = run(twice())
    assert (listening - stopped, again, gone) == (300, listening, stopped)


def test_a_taken_port_is_named_and_nothing_is_left_listening():
    miners = build_farm(3, host=network(16))
    with socket.socket() as taken:
        taken.bind((miners[2].host, miners[2].port))
        taken.listen()
        with pytest.raises(OSError, match=f"cannot listen on {miners[2].host}:4028"):
            run(SimulatedFarm(miners).start())
    assert run(poll(miners[0].host, miners[0].port, timeout_s=0.5)).error is ReadError.REFUSED


def test_a_request_in_pieces_and_the_old_text_form_are_answered():
    miners = build_farm(1, host=network(17))

    async def ask(*pieces):
        reader, writer = await asyncio.open_connection(miners[0].host, miners[0].port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        reply = await reader.read()
        writer.close()
        return reply

    async def work():
        return await ask(b'{"comm', b'and":"summary"}'), await ask(b"summary|"), await ask(b"{broken}")

    pieces, text, broken = run(serve(miners, work))
    assert b'"SUMMARY"' in pieces
    assert pieces.endswith(b"}\0")
    assert b'"SUMMARY"' in text
    assert b'"Code":23' in broken
