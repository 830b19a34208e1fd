"""The energy ledger: sums to the last digit, days of 23 and 25 hours, and prices that never overlap."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, transaction

from hosting.energy import UnknownPeriod, energy, price_at, total_kwh
from hosting.models import ElectricityPrice, Miner, MinerHour, Site, SiteHour, Telemetry
from hosting.telemetry.rollups import roll_up
from tests.telemetry.synthetic import fill

pytestmark = pytest.mark.django_db

CLOCK_CHANGES = [
    ("Europe/Berlin", datetime(2025, 3, 30), 23),  # noqa: DTZ001  local days, given their zone below
    ("Europe/Berlin", datetime(2025, 10, 26), 25),  # noqa: DTZ001
    ("America/Chicago", datetime(2025, 3, 9), 23),  # noqa: DTZ001
    ("America/Chicago", datetime(2025, 11, 2), 25),  # noqa: DTZ001
    ("Australia/Adelaide", datetime(2025, 10, 5), 23),  # noqa: DTZ001  half an hour off UTC's hours
    ("Australia/Adelaide", datetime(2025, 4, 6), 25),  # noqa: DTZ001
    ("Asia/Kolkata", datetime(2025, 3, 30), 24),  # noqa: DTZ001  no summer time
]


def local(day: datetime, zone: str) -> datetime:
    return day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def exact_kwh(start: datetime, end: datetime) -> Decimal:
    """Every reading holds for its minute; each hour of each machine is rounded once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(kwh) FROM (SELECT round(sum(power_consumption) / 60000, 6) AS kwh FROM miner_telemetry"
            " WHERE recorded_at >= %s AND recorded_at < %s"
            " GROUP BY miner_id, date_bin('1 hour', recorded_at, %s)) hours",
            [start, end, start],
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize("change", CLOCK_CHANGES, ids=str)
def test_hours_days_and_months_agree_over_a_clock_change(site, miner_a, miner_b, change):
    zone, day, hours = change
    Site.objects.filter(pk=site.pk).update(time_zone=zone)
    start, end = local(day - timedelta(days=1), zone), local(day + timedelta(days=2), zone)
    fill([miner_a, miner_b], start, end)
    roll_up(start, end)
    wanted = exact_kwh(start, end)

    by_hour, by_day, by_month = (energy(site, start, end, per=per) for per in ("hour", "day", "month"))
    assert [len(by_hour), len(by_day)] == [48 + hours, 3]
    assert [(row.ends_at - row.starts_at) // timedelta(hours=1) for row in by_day] == [24, hours, 24]
    assert total_kwh(by_hour) == total_kwh(by_day) == total_kwh(by_month) == wanted
    middle = by_day[1]
    assert (middle.starts_at, middle.kwh) == (local(day, zone), exact_kwh(middle.starts_at, middle.ends_at))
    assert {row.coverage for row in by_hour + by_day + by_month} == {Decimal(1)}
    machines = [row for miner in (miner_a, miner_b) for row in energy(miner, start, end, per="day")]
    assert total_kwh(machines) == wanted
    assert middle.machine_hours == 2 * hours
    assert middle.hashing_minutes == 2 * hours * 60


def test_a_customer_gets_their_own_machines_and_the_site_their_sum(site, miner_a, miner_b, client_a, client_b):
    start = datetime(2025, 6, 1, tzinfo=UTC)
    fill([miner_a, miner_b], start, start + timedelta(hours=7))
    roll_up(start, start + timedelta(hours=7))
    end = start + timedelta(days=1)
    (of_a,), (of_b,), (of_site,) = (energy(of, start, end) for of in (client_a, client_b, site))
    assert of_a.kwh + of_b.kwh == of_site.kwh
    assert of_a.kwh == total_kwh(energy(miner_a, start, end, per="hour"))
    assert of_a.site_id == site.pk


def test_each_hour_of_a_site_is_exactly_its_machines(site, make_miner):
    start = datetime(2025, 6, 1, tzinfo=UTC)
    fill([make_miner(f"S-{number}") for number in range(20)], start, start + timedelta(hours=4), every="70 seconds")
    roll_up(start, start + timedelta(hours=4))
    for row in SiteHour.objects.all():
        machines = MinerHour.objects.filter(starts_at=row.bucket)
        assert row.kwh == sum(machine.kwh for machine in machines)
        assert row.gap_s == sum(machine.gap_s for machine in machines)


def test_what_was_not_read_is_none_and_lowers_the_coverage(site, miner_a):
    start = datetime(2025, 6, 1, tzinfo=UTC)
    Miner.objects.update(created_at=start)
    fill([miner_a], start, start + timedelta(hours=6))
    roll_up(start, start + timedelta(hours=12))
    day, nothing = energy(site, start, start + timedelta(days=2))
    assert day.kwh == total_kwh(energy(miner_a, start, start + timedelta(days=1), per="hour"))
    assert (day.source, day.coverage) == ("miner", Decimal("0.251389"))  # six hours and two minutes of 24 hours
    assert (nothing.kwh, nothing.source, nothing.coverage) == (None, "gap", 0)
    assert total_kwh([nothing]) is None


def test_a_day_with_an_estimate_says_so(site, miner_a):
    start = datetime(2025, 6, 1, tzinfo=UTC)
    fill([miner_a], start, start + timedelta(hours=1))
    fill([miner_a], start + timedelta(hours=1), start + timedelta(hours=2), estimated=True)
    roll_up(start, start + timedelta(hours=2))
    sources = [row.source for row in energy(miner_a, start, start + timedelta(hours=2), per="hour")]
    assert sources == ["miner", "estimate"]
    assert energy(site, start, start + timedelta(days=1))[0].source == "estimate"


def test_a_year_is_no_period(site):
    with pytest.raises(UnknownPeriod, match="hour, day or month"):
        energy(site, datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), per="year")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", "Asia/Kathmandu"])
def test_iana_names_are_time_zones(zone):
    Site(name="Somewhere", time_zone=zone).full_clean()


@pytest.mark.parametrize("zone", ["", "Berlin", "CET-1", "Europe/Atlantis", "localtime", "Australia/Lord_Howe"])
def test_anything_else_is_refused(zone):
    with pytest.raises(ValidationError) as refused:
        Site(name="Somewhere", time_zone=zone).full_clean()
    assert set(refused.value.message_dict) == {"time_zone"}


def test_the_database_refuses_an_unknown_zone_too(site):
    with pytest.raises(DataError), transaction.atomic():
        Site.objects.filter(pk=site.pk).update(time_zone="Europe/Atlantis")


def test_a_ledger_keeps_the_minute_at_which_its_hours_begin(site, miner_a):
    start = datetime(2025, 6, 1, tzinfo=UTC)
    fill([miner_a], start, start + timedelta(hours=1))
    roll_up(start, start + timedelta(hours=1))
    site.time_zone = "Europe/Berlin"
    site.full_clean()
    site.time_zone = "Asia/Kolkata"
    with pytest.raises(ValidationError, match="make a new site"):
        site.full_clean()


def price(site: Site, kwh: str, since: int, until: int | None = None, currency: str = "USD") -> ElectricityPrice:
    end = None if until is None else datetime(2025, 1, until, tzinfo=UTC)
    return ElectricityPrice(
        site=site,
        price_per_kwh=kwh,
        currency=currency,
        valid_from=datetime(2025, 1, since, tzinfo=UTC),
        valid_until=end,
    )


def test_a_price_holds_until_the_moment_the_next_begins(site):
    price(site, "0.05", 1, 10).save()
    price(site, "0.07", 10).save()
    at = datetime(2025, 1, 10, tzinfo=UTC)
    assert price_at(site, at - timedelta(microseconds=1)).price_per_kwh == Decimal("0.05")
    assert price_at(site, at).price_per_kwh == Decimal("0.07")
    assert price_at(site, datetime(2024, 12, 31, tzinfo=UTC)) is None
    ElectricityPrice.objects.filter(valid_until=None).update(valid_until=at + timedelta(days=1))
    assert price_at(site, at + timedelta(days=1)) is None


def test_two_prices_never_hold_at_once(site):
    price(site, "0.05", 1, 10).save()
    with pytest.raises(ValidationError, match="end that one first"):
        price(site, "0.07", 9).full_clean()
    with pytest.raises(IntegrityError, match="electricity_price_one_at_a_time"), transaction.atomic():
        price(site, "0.07", 9).save()
    price(Site.objects.create(name="South"), "0.07", 9).save()
    assert ElectricityPrice.objects.count() == 2


@pytest.mark.parametrize(("until", "currency"), [(5, "USD"), (7, "dollars")])
def test_an_empty_validity_and_an_unknown_currency_are_refused(site, until, currency):
    with pytest.raises(ValidationError):
        price(site, "0.05", 5, until, currency).full_clean()


def test_no_readings_are_needed_any_more_once_the_ledger_has_them(site, miner_a):
    start = datetime(2025, 6, 1, tzinfo=UTC)
    fill([miner_a], start, start + timedelta(hours=2))
    roll_up(start, start + timedelta(hours=2))
    before = energy(site, start, start + timedelta(days=1))
    Telemetry.objects.all().delete()
    assert energy(site, start, start + timedelta(days=1)) == before
