"""Hours and days from readings: exact, idempotent, and open to what comes late."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from hosting.models import ClientHour, Miner, MinerDay, MinerHour, RetiredDay, Site, SiteHour, Telemetry, TelemetrySweep
from hosting.telemetry.partitions import create_partition
from hosting.telemetry.rollups import roll_up, roll_up_due
from tests.telemetry.synthetic import fill

pytestmark = pytest.mark.django_db

HOUR = datetime(2025, 6, 10, 10, tzinfo=UTC)
NEXT = HOUR + timedelta(hours=1)


def read(miner: Miner, minute: int, second: int = 0, **values: object) -> Telemetry:
    at = HOUR + timedelta(minutes=minute, seconds=second)
    create_partition(at.date())
    values = {"hashrate": 100, "power_consumption": 3600, "power_estimated": False} | values
    return Telemetry.objects.create(recorded_at=at, miner_id=miner.pk, **values)


def rolled(miner: Miner, at: datetime = HOUR) -> MinerHour:
    roll_up(at, at + timedelta(hours=1))
    return MinerHour.objects.get(starts_at=at, miner_id=miner.pk)


def test_a_full_hour_to_the_last_digit(miner_a):
    for minute in range(60):
        read(miner_a, minute, temperature=60 + minute % 5)
    row = rolled(miner_a)
    assert (row.kwh, row.source, row.gap_s, row.hashing_s) == (Decimal("3.600000"), "miner", 0, 3600)
    assert (row.samples, row.hashrate_ths_sum, row.temperature_max_c, row.coverage) == (60, 6000, 64, 1)
    assert (row.site_id, row.client_id) == (miner_a.site_id, miner_a.client_id)


def test_a_reading_stands_for_three_minutes_at_most_and_the_rest_is_a_gap(miner_a):
    read(miner_a, 0)
    read(miner_a, 2)
    read(miner_a, 30)
    row = rolled(miner_a)
    assert (row.kwh, row.gap_s, row.hashing_s) == (Decimal("0.480000"), 3600 - 480, 480)  # 120 + 180 + 180 s


def test_the_last_reading_of_an_hour_reaches_into_the_next(miner_a):
    read(miner_a, 59)
    read(miner_a, 62)
    assert rolled(miner_a).kwh == Decimal("0.060000")
    assert rolled(miner_a, NEXT).kwh == Decimal("0.300000")  # 120 s of the earlier one, 180 s of its own


def test_no_reading_is_a_gap_and_never_zero(miner_a):
    Miner.objects.update(created_at=HOUR - timedelta(days=1))
    create_partition(HOUR.date())
    row = rolled(miner_a)
    assert (row.kwh, row.source, row.gap_s, row.samples, row.hashrate_ths_sum) == (None, "gap", 3600, 0, None)
    assert SiteHour.objects.get().kwh is None


def test_a_machine_that_was_not_there_yet_has_no_row(miner_a):
    create_partition(HOUR.date())
    roll_up(HOUR, NEXT)
    assert MinerHour.objects.count() == 0


def test_known_hashrate_without_power_is_a_gap_in_energy_only(miner_a):
    for minute in range(60):
        read(miner_a, minute, power_consumption=None if minute < 30 else 3600)
    row = rolled(miner_a)
    assert (row.kwh, row.gap_s, row.hashing_s, row.power_samples) == (Decimal("1.800000"), 1800, 3600, 30)


def test_a_machine_that_idles_uses_energy_and_does_not_hash(miner_a):
    for minute in range(60):
        read(miner_a, minute, hashrate=0, power_consumption=20)
    row = rolled(miner_a)
    assert (row.kwh, row.hashing_s) == (Decimal("0.020000"), 0)


def test_one_estimate_makes_the_hour_an_estimate(miner_a):
    for minute in range(60):
        read(miner_a, minute, power_estimated=minute == 7)
    assert rolled(miner_a).source == "estimate"


def test_a_second_run_changes_nothing(miner_a, miner_b):
    fill([miner_a, miner_b], HOUR, HOUR + timedelta(hours=5))
    first = roll_up(HOUR, HOUR + timedelta(hours=5))
    before = list(MinerHour.objects.order_by("pk").values()), list(MinerDay.objects.order_by("pk").values())
    second = roll_up(HOUR, HOUR + timedelta(hours=5))
    assert (first.site_hours, first.rows_changed) == (5, 10)
    assert (second.site_hours, second.rows_changed) == (5, 0)
    assert (list(MinerHour.objects.order_by("pk").values()), list(MinerDay.objects.order_by("pk").values())) == before


def test_late_readings_reopen_their_hour(miner_a, miner_b):
    now = HOUR + timedelta(days=2)
    fill([miner_a, miner_b], HOUR, HOUR + timedelta(hours=6))
    late = Telemetry.objects.filter(recorded_at__gte=NEXT, recorded_at__lt=NEXT + timedelta(minutes=20))
    late.delete()
    TelemetrySweep.objects.filter(minute__gte=NEXT, minute__lt=NEXT + timedelta(minutes=20)).delete()
    assert roll_up_due(now=now).site_hours == 6
    assert roll_up_due(now=now).site_hours == 0
    assert (
        MinerHour.objects.get(starts_at=NEXT, miner_id=miner_a.pk).gap_s == 18 * 60
    )  # the minute before holds for two more

    fill([miner_a, miner_b], NEXT, NEXT + timedelta(minutes=20))
    assert roll_up_due(now=now).site_hours == 2  # the one after, too: the last reading may reach into it
    assert MinerHour.objects.get(starts_at=NEXT, miner_id=miner_a.pk).gap_s == 0
    day = MinerDay.objects.get(miner_id=miner_a.pk)
    assert (day.samples, day.gap_s) == (360, 0)


def test_a_late_reading_that_reaches_into_the_next_hour_counts_there(miner_a):
    fill([miner_a], HOUR, HOUR + timedelta(minutes=59))
    fill([miner_a], HOUR + timedelta(minutes=62), HOUR + timedelta(hours=2))
    roll_up_due(now=HOUR + timedelta(days=1))
    assert MinerHour.objects.get(starts_at=NEXT).gap_s == 60  # 10:58 stands for three minutes
    fill([miner_a], HOUR + timedelta(minutes=59), NEXT)
    roll_up_due(now=HOUR + timedelta(days=1))
    assert MinerHour.objects.get(starts_at=NEXT).gap_s == 0


def test_an_hour_that_runs_is_left_alone(miner_a):
    fill([miner_a], HOUR, HOUR + timedelta(minutes=150))
    assert roll_up_due(now=HOUR + timedelta(minutes=122)).site_hours == 1
    assert roll_up_due(now=HOUR + timedelta(minutes=125)).site_hours == 1


def test_a_sold_machine_leaves_its_past_with_the_seller(miner_a, client_a, client_b):
    fill([miner_a], HOUR, NEXT)
    roll_up(HOUR, NEXT)
    Miner.objects.filter(pk=miner_a.pk).update(client=client_b)
    fill([miner_a], NEXT, NEXT + timedelta(hours=1))
    roll_up(HOUR, NEXT + timedelta(hours=1))
    assert list(ClientHour.objects.order_by("bucket").values_list("bucket", "client_id")) == [
        (HOUR, client_a.pk),
        (NEXT, client_b.pk),
    ]
    assert MinerHour.objects.for_user(client_a).get().starts_at == HOUR


def test_a_moved_and_a_deleted_machine_keep_their_rows_at_the_old_site(miner_a, miner_b):
    fill([miner_a, miner_b], HOUR, NEXT)
    roll_up(HOUR, NEXT)
    kwh = SiteHour.objects.get().kwh
    other = Site.objects.create(name="South")
    Miner.objects.filter(pk=miner_a.pk).update(site=other)
    Miner.objects.filter(pk=miner_b.pk).delete()
    roll_up(HOUR, NEXT)
    assert SiteHour.objects.get(site_id=miner_b.site_id).kwh == kwh
    assert SiteHour.objects.get(site=other).kwh is None


def test_hours_whose_readings_are_retired_are_final(miner_a):
    fill([miner_a], HOUR, NEXT)
    roll_up(HOUR, NEXT)
    Telemetry.objects.all().delete()
    RetiredDay.objects.create(day=HOUR.date(), readings=60, size_bytes=1, detached_at=HOUR)
    report = roll_up(HOUR, NEXT)
    assert (report.site_hours, report.final_hours) == (0, 1)
    assert MinerHour.objects.get().samples == 60


def test_hours_begin_on_the_hour_of_the_sites_clock(miner_a):
    Site.objects.filter(pk=miner_a.site_id).update(time_zone="Asia/Kolkata")
    fill([miner_a], HOUR, HOUR + timedelta(hours=3))
    assert roll_up_due(now=HOUR + timedelta(days=1)).site_hours == 4
    starts = list(MinerHour.objects.order_by("starts_at").values_list("starts_at", "samples"))
    assert starts[:2] == [(HOUR - timedelta(minutes=30), 30), (HOUR + timedelta(minutes=30), 60)]


def test_the_sites_hour_is_the_sum_of_the_sweeps(miner_a, miner_b):
    fill([miner_a, miner_b], HOUR, NEXT)
    roll_up(HOUR, NEXT)
    site = SiteHour.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(hashrate), sum(power_consumption), max(temperature) FROM miner_telemetry")
        assert cursor.fetchone() == (site.hashrate_ths_sum, site.power_w_sum, site.temperature_max_c)
    assert (site.minutes, site.samples, site.miners, site.sweeps, site.swept) == (60, 120, 2, 60, 120)
