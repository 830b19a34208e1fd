"""What a reading is worth as evidence: short windows and measured watts, no averages, no estimates, no silence."""

import pytest

from hosting.control import Evidence, Machine, Order, look, proves
from tests.hosting.cgminer.device import antminer_stats, antminer_summary, envelope, listening, replying, run, sending

HERE = "127.0.0.1"
AVALON = "Ver[1246-83-21061101_4ec6bb0] Elapsed[24684] Temp[30] TMax[77] GHSspd[{now}] GHSavg[44510.12] SoftOFF[{off}]"


def avalon(*, asleep):
    module = AVALON.format(now="0.00" if asleep else "81072.68", off=5 if asleep else 0)
    rates = {
        "MHS av": 44_510_120.0,
        "MHS 5s": 0.0 if asleep else 81_072_680.0,
        "MHS 1m": 44_000_000.0,
        "Elapsed": 24684,
    }
    return {
        "summary": envelope("SUMMARY", rates),
        "stats": envelope("STATS", {"ID": "AVA100", "MM ID0": module}),
        "version": envelope("VERSION", {"PROD": "AvalonMiner 1246"}),
    }


def seen(replies):
    """The evidence of a device that answers so."""

    async def work():
        async with listening(replying(replies)) as (port, _asked):
            return await look(Machine(HERE, port))

    return run(work())


def test_an_avalon_whose_average_stays_at_44_is_proved_asleep_by_its_short_window():
    running, stopped = seen(avalon(asleep=False)), [seen(avalon(asleep=True)) for _ in range(2)]
    assert (running.hashrate_ths, [reading.hashrate_ths for reading in stopped]) == (81.07, [0.0, 0.0])
    assert proves(Order.SLEEP, running, stopped)
    assert not proves(Order.SLEEP, running, stopped[:1])
    assert not proves(Order.SLEEP, running, [running, running])


@pytest.mark.parametrize("average", [0.0, 109_004.4])
def test_a_machine_that_tells_only_its_average_proves_nothing(average):
    summary = envelope("SUMMARY", {"Elapsed": 3600, "GHS av": average, "Accepted": 3})
    reading = seen({"summary": summary, "version": envelope("VERSION", {"CGMiner": "4.9"})})
    assert reading.answered
    assert reading.hashrate_ths is None
    before = Evidence(reading.at, hashrate_ths=100.0)
    assert not proves(Order.SLEEP, before, [reading, reading])
    assert not proves(Order.WAKE, before, [reading, reading])


def test_our_own_estimate_of_the_power_is_no_measurement():
    reading = seen({"summary": antminer_summary(), "stats": antminer_stats()})
    assert reading.power_w > 3000
    assert reading.measured_w is None
    assert (reading.hashrate_ths, reading.uptime_s) == (108.25, 3600)


def test_who_does_not_answer_is_no_evidence():
    async def work():
        silent = sending(b"", then_wait_s=3)
        async with listening(silent) as (port, _asked):
            return await look(Machine(HERE, port), timeout_s=0.2), await look(Machine(HERE, 1))

    hung, dead = run(work())
    assert (hung.answered, dead.answered) == (False, False)
    assert not proves(Order.SLEEP, Evidence(hung.at, power_w=3000, power_measured=True), [hung, dead])
