"""Storing a minute: what is written, what is never doubled, what is never touched."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from events.models import LockLost, OutboxEvent, SchedulerLock
from hosting.models import ClientBucket, Miner, MinerLatest, OperationLog, Site, SiteBucket, Telemetry, TelemetrySweep
from hosting.telemetry.store import Row, Stored, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

pytestmark = pytest.mark.django_db


@pytest.fixture
def minute():
    return database_minute()


def facts(site: Site, minute: datetime) -> SweepFacts:
    return SweepFacts(site.pk, minute, rejected_values={}, wall_s=1.5, cpu_s=0.25)


def good(miner: Miner, **values: object) -> Row:
    reading = {
        "hashrate_centi_ths": 11_057,
        "hashrate_avg_centi_ths": 11_183,
        "temperature_centi_c": 7_800,
        "power_centi_w": 326_182,
        "power_estimated": True,
        "fan_rpm": (6000, 5880, 5040, 5040),
        "uptime_s": 50_474,
        "accepted": 4057,
        "rejected": 11,
        "hardware_errors": 562,
    }
    return Row(miner.pk, miner.client_id, None, **(reading | values))


def bad(miner: Miner, error: str = "timeout") -> Row:
    return Row(miner.pk, miner.client_id, error)


def test_a_reading_is_stored_to_the_digit(site, miner_a, minute):
    assert store_sweep(facts(site, minute), [good(miner_a)]) == Stored(stored=1, went_offline=0, came_online=0)

    reading = Telemetry.objects.get()
    assert (reading.recorded_at, reading.miner_id) == (minute, miner_a.pk)
    assert (reading.hashrate, reading.temperature) == (Decimal("110.57"), Decimal("78.00"))
    assert (reading.power_consumption, reading.power_estimated) == (Decimal("3261.82"), True)
    assert reading.fan_speed == Decimal("5490.00")
    latest = MinerLatest.objects.get()
    assert (latest.seen_at, latest.attempted_at, latest.error) == (minute, minute, None)
    assert (latest.hashrate_avg_ths, latest.fan_rpm) == (Decimal("111.83"), [6000, 5880, 5040, 5040])
    assert (latest.uptime_s, latest.accepted, latest.rejected, latest.hardware_errors) == (50_474, 4057, 11, 562)


def test_what_is_unknown_is_null_and_not_zero(site, miner_a, minute):
    unknown = good(
        miner_a, temperature_centi_c=None, power_centi_w=None, power_estimated=False, fan_rpm=(), uptime_s=None
    )
    store_sweep(facts(site, minute), [unknown])
    reading = Telemetry.objects.get()
    assert (reading.temperature, reading.power_consumption, reading.fan_speed) == (None, None, None)
    assert reading.hashrate == Decimal("110.57")
    assert MinerLatest.objects.get().uptime_s is None


def test_a_machine_that_gives_no_reading_has_no_row_but_a_reason(site, miner_a, miner_b, minute):
    stored = store_sweep(facts(site, minute), [good(miner_a), bad(miner_b)])
    assert stored.stored == 1
    assert list(Telemetry.objects.values_list("miner_id", flat=True)) == [miner_a.pk]
    assert MinerLatest.objects.get(miner=miner_b).error == "timeout"
    sweep = TelemetrySweep.objects.get()
    assert (sweep.miners, sweep.stored, sweep.failed) == (2, 1, {"timeout": 1})


def test_a_failure_keeps_the_last_good_reading(site, miner_a, minute):
    store_sweep(facts(site, minute - timedelta(minutes=1)), [good(miner_a)])
    store_sweep(facts(site, minute), [bad(miner_a, "closed")])
    latest = MinerLatest.objects.get()
    assert (latest.seen_at, latest.attempted_at, latest.error) == (minute - timedelta(minutes=1), minute, "closed")
    assert latest.hashrate_ths == Decimal("110.57")


def test_a_repeated_minute_doubles_nothing_and_adds_what_was_missing(site, miner_a, miner_b, minute):
    store_sweep(facts(site, minute), [good(miner_a), bad(miner_b)])
    again = [good(miner_a, hashrate_centi_ths=99_999), good(miner_b, hashrate_centi_ths=5_000)]
    assert store_sweep(facts(site, minute), again).stored == 2

    stored = dict(Telemetry.objects.values_list("miner_id", "hashrate"))
    assert stored == {miner_a.pk: Decimal("110.57"), miner_b.pk: Decimal("50.00")}
    bucket = SiteBucket.objects.get()
    assert (bucket.minutes, bucket.samples, bucket.hashrate_ths_sum) == (1, 2, Decimal("160.57"))
    assert TelemetrySweep.objects.get().stored == 2


def test_a_customer_who_appears_in_a_repeated_minute_has_a_minute_of_their_own(site, miner_a, miner_b, minute):
    store_sweep(facts(site, minute), [good(miner_a)])
    store_sweep(facts(site, minute), [good(miner_a), good(miner_b)])
    for customer in (miner_a.client, miner_b.client):
        bucket = ClientBucket.objects.get(client=customer)
        assert (bucket.minutes, bucket.samples, bucket.hashrate_ths_sum) == (1, 1, Decimal("110.57"))


def test_a_machine_that_moved_site_within_the_minute_is_stored_once(site, miner_a, miner_b, minute):
    elsewhere = Site.objects.create(name="South")
    store_sweep(facts(site, minute), [good(miner_a)])
    store_sweep(facts(elsewhere, minute), [good(miner_a), good(miner_b)])
    assert Telemetry.objects.count() == 2
    assert SiteBucket.objects.get(site=elsewhere).samples == 1


def test_five_minutes_add_up_for_the_site_and_for_each_client(site, miner_a, miner_b):
    start = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    for number in range(6):
        rows = [good(miner_a, hashrate_centi_ths=10_000 + number), good(miner_b, hashrate_centi_ths=20_000)]
        store_sweep(facts(site, start + timedelta(minutes=number)), rows)

    first, second = SiteBucket.objects.order_by("bucket")
    assert (first.bucket, first.minutes, first.samples) == (start, 5, 10)
    assert first.hashrate_ths_sum == Decimal("1500.10")
    assert first.power_w_sum == 10 * Decimal("3261.82")
    assert (first.estimated_samples, first.temperature_max_c) == (10, Decimal("78.00"))
    assert (second.bucket, second.minutes) == (start + timedelta(minutes=5), 1)
    mine = ClientBucket.objects.get(client=miner_a.client, bucket=start)
    assert (mine.minutes, mine.samples, mine.hashrate_ths_sum) == (5, 5, Decimal("500.10"))


def test_a_minute_without_any_reading_counts_as_a_minute_of_unknown(site, miner_a, minute):
    store_sweep(facts(site, minute), [bad(miner_a)])
    bucket = SiteBucket.objects.get()
    assert (bucket.minutes, bucket.samples, bucket.hashrate_ths_sum, bucket.power_w_sum) == (1, 0, None, None)


def test_five_minutes_without_a_reading_take_a_machine_offline_once(site, miner_a, minute):
    start = minute - timedelta(minutes=10)
    Miner.objects.update(created_at=start - timedelta(days=1))
    store_sweep(facts(site, start), [good(miner_a)])
    moved = [store_sweep(facts(site, start + timedelta(minutes=n)), [bad(miner_a)]).went_offline for n in range(1, 8)]
    assert moved == [0, 0, 0, 0, 1, 0, 0]

    miner_a.refresh_from_db()
    assert miner_a.status == "offline"
    log = OperationLog.objects.get()
    assert (log.miner, log.operation, log.performed_by) == (miner_a, "offline", None)
    assert log.details == f"last good reading {start:%Y-%m-%d %H:%M} UTC; timeout"
    event = OutboxEvent.objects.get()
    assert (event.event_type, event.status) == ("miner.offline", "pending")
    assert event.payload["miner_id"] == miner_a.pk
    assert event.payload["last_reading_at"] == start.isoformat()
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (1, 0)


def test_a_good_reading_brings_a_machine_back_with_a_line_and_an_event(site, miner_a, minute):
    Miner.objects.update(status="offline")
    assert store_sweep(facts(site, minute), [good(miner_a)]).came_online == 1
    miner_a.refresh_from_db()
    assert miner_a.status == "active"
    assert OperationLog.objects.get().operation == "online"
    assert OutboxEvent.objects.get().event_type == "miner.online"
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (1, 1)


def test_a_machine_that_was_never_read_goes_offline_after_five_minutes(site, miner_a, minute):
    store_sweep(facts(site, minute), [bad(miner_a)])
    miner_a.refresh_from_db()
    assert miner_a.status == "active"
    Miner.objects.update(created_at=minute - timedelta(minutes=6))
    store_sweep(facts(site, minute + timedelta(minutes=1)), [bad(miner_a, "refused")])
    miner_a.refresh_from_db()
    assert miner_a.status == "offline"
    assert OperationLog.objects.get().details == "never read; refused"


@pytest.mark.parametrize("status", ["maintenance", "curtailed"])
def test_maintenance_and_curtailed_are_never_overwritten(site, miner_a, minute, status):
    Miner.objects.update(status=status, created_at=minute - timedelta(days=1))
    store_sweep(facts(site, minute - timedelta(minutes=9)), [good(miner_a)])
    store_sweep(facts(site, minute), [bad(miner_a)])
    miner_a.refresh_from_db()
    assert miner_a.status == status
    assert not OperationLog.objects.exists()
    assert not OutboxEvent.objects.exists()


def test_a_deleted_machine_costs_nothing_but_itself(site, miner_a, miner_b, minute):
    rows = [good(miner_a), good(miner_b)]
    Miner.objects.filter(pk=miner_b.pk).delete()
    store_sweep(facts(site, minute), rows)
    assert MinerLatest.objects.get().miner == miner_a


def test_an_empty_site_has_a_sweep_and_counts(site, minute):
    Site.objects.update(total_miners=5, active_miners=5)
    assert store_sweep(facts(site, minute), []).stored == 0
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (0, 0)
    assert TelemetrySweep.objects.get().miners == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("hashrate", "NaN"),
        ("hashrate", "5000.01"),
        ("temperature", "-41"),
        ("power_consumption", "-1"),
        ("fan_speed", "NaN"),
    ],
)
def test_the_database_refuses_values_that_cannot_be(site, miner_a, minute, column, value):
    store_sweep(facts(site, minute), [])
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO miner_telemetry (recorded_at, miner_id, {column}) VALUES (%s, %s, %s)",
            [minute, miner_a.pk, value],
        )


@pytest.mark.django_db(transaction=True)
def test_a_sweep_whose_lock_was_taken_over_writes_nothing(site, miner_a, minute):
    stale = SchedulerLock.acquire("telemetry:site:1", timeout=60)
    SchedulerLock.objects.update(expires_at=minute - timedelta(hours=1))
    assert SchedulerLock.acquire("telemetry:site:1", timeout=60)
    with pytest.raises(LockLost):
        store_sweep(facts(site, minute), [good(miner_a)], lock=stale)
    assert not Telemetry.objects.exists()
    assert not TelemetrySweep.objects.exists()
    assert not MinerLatest.objects.exists()
