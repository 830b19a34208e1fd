"""What counts as proof that an order was carried out."""

from datetime import UTC, datetime, timedelta

import pytest

from hosting.control import Evidence, Order, proves

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def seen(second=0, *, w=None, ths=None, uptime=None, measured=True, **more):
    return Evidence(
        NOON + timedelta(seconds=second), power_w=w, power_measured=measured, hashrate_ths=ths, uptime_s=uptime, **more
    )


def gone(second=0):
    return Evidence(NOON + timedelta(seconds=second), answered=False)


RUNNING = seen(w=3400, ths=110, uptime=9000)
RUNNING_UNMETERED = seen(ths=110, uptime=9000)
ASLEEP = seen(w=40, ths=0, uptime=9000)


@pytest.mark.parametrize(
    ("before", "after", "proved"),
    [
        (RUNNING, [seen(30, w=1700, ths=0)], True),
        (RUNNING, [seen(30, w=1701, ths=0), seen(60, w=1701, ths=0)], False),  # hashes nothing and draws: broken
        (RUNNING, [seen(30, w=3390, ths=110), seen(60, w=3390, ths=110)], False),  # said yes, did nothing
        (RUNNING_UNMETERED, [seen(30, ths=0)], False),  # one zero is a hiccup
        (RUNNING_UNMETERED, [seen(30, ths=0), seen(60, ths=0)], True),
        (RUNNING_UNMETERED, [seen(30, ths=0), seen(60, ths=90)], False),
        (RUNNING_UNMETERED, [seen(30, ths=90), seen(60, ths=0), seen(90, ths=0)], True),
        (RUNNING_UNMETERED, [seen(30, ths=0), gone(60), seen(90, ths=0)], True),
        (RUNNING_UNMETERED, [seen(30), seen(60)], False),  # an average only: nothing is known
        (RUNNING_UNMETERED, [seen(30, w=25, measured=False), seen(60, w=25, measured=False)], False),  # our estimate
        (seen(w=3400, ths=110, measured=False), [seen(30, w=25, measured=False)], False),
        (RUNNING, [gone(30), gone(60)], False),  # silence is not sleep
        (RUNNING, [], False),
        (ASLEEP, [seen(30, w=39, ths=0), seen(60, w=39, ths=0)], True),  # it slept already
    ],
)
def test_sleep(before, after, proved):
    assert proves(Order.SLEEP, before, after) is proved


@pytest.mark.parametrize(
    ("after", "running_w", "proved"),
    [
        ([seen(30, w=3300, ths=90), seen(60, w=3300, ths=110)], None, True),
        ([seen(30, w=3300, ths=90)], None, False),
        ([seen(30, w=3300, ths=0), seen(60, w=3300, ths=0)], 3400, False),  # fans and boards, no hash
        ([seen(30, w=3300)], 3400, True),
        ([seen(30, w=1700)], 3400, False),
        ([seen(30, w=3300)], None, False),
        ([seen(30, w=3300, measured=False)], 3400, False),
        ([gone(30)], 3400, False),
    ],
)
def test_wake(after, running_w, proved):
    assert proves(Order.WAKE, ASLEEP, after, running_w=running_w) is proved


@pytest.mark.parametrize(
    ("before", "after", "proved"),
    [
        (seen(uptime=9000), [seen(60, uptime=12)], True),
        (seen(uptime=9000), [seen(60, uptime=9060)], False),
        (seen(uptime=9000), [gone(30), seen(60, uptime=9060)], False),  # a cable, not a reboot
        (seen(uptime=20), [gone(30), seen(90, uptime=40)], True),
        (seen(uptime=20), [seen(90, uptime=110)], False),
        (seen(), [gone(30), seen(60)], True),
        (seen(), [seen(30), seen(60)], False),
        (seen(uptime=9000), [gone(30), gone(60)], False),  # down is not yet rebooted
    ],
)
def test_reboot(before, after, proved):
    assert proves(Order.REBOOT, before, after) is proved


@pytest.mark.parametrize(
    ("after", "watts", "proved"),
    [
        ([seen(60, w=2650)], 2500, True),
        ([seen(60, w=2800)], 2500, False),
        ([seen(60, w=2400, measured=False)], 2500, False),
        ([seen(60)], 2500, False),
        ([seen(60, w=2400)], None, False),
    ],
)
def test_power_limit(after, watts, proved):
    assert proves(Order.POWER_LIMIT, RUNNING, after, watts=watts) is proved


def test_a_light_that_cannot_be_read_counts_by_the_machines_word():
    assert proves(Order.LOCATE, RUNNING, [seen(5)])
    assert proves(Order.LOCATE, RUNNING, [seen(5, blinking=True)])
    assert not proves(Order.LOCATE, RUNNING, [seen(5, blinking=False)])
