"""Prices of electricity: fixed, by the hours of the week, from a file and from markets, all in one history without overlaps."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from analytics.models import PowerContract, TariffBand
from analytics.power import expand_tariff, price_ahead
from analytics.providers.http import target_of
from analytics.tariff import BadTariff, Band, days_of, expand, week_of
from analytics.tasks import price_power
from hosting.energy import price_at
from hosting.models import ElectricityPrice, Site
from hosting.prices import Span, set_price, write_prices
from minefarm.demo import price_electricity
from tests.analytics.sources import Source, nobody, serving

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def history(site):
    rows = ElectricityPrice.objects.filter(site=site).order_by("valid_from")
    return [(row.valid_from, row.valid_until, row.price_per_kwh, row.currency) for row in rows]


def span(since: int, until: int | None, price: str, currency: str = "USD") -> Span:
    return Span(START + since * HOUR, None if until is None else START + until * HOUR, Decimal(price), currency)


def at(hour: int | None) -> datetime | None:
    return None if hour is None else START + hour * HOUR


# --- the history --------------------------------------------------------------------------------------------------------


def test_a_new_fixed_price_ends_the_one_before(site):
    set_price(site, Decimal("0.05"), START)
    set_price(site, Decimal("0.06"), START + 10 * HOUR)
    assert history(site) == [
        (at(0), at(10), Decimal("0.05"), "USD"),
        (at(10), None, Decimal("0.06"), "USD"),
    ]
    assert price_at(site, at(9)).price_per_kwh == Decimal("0.05")
    assert price_at(site, at(10)).price_per_kwh == Decimal("0.06")


def test_written_prices_replace_what_held_in_their_time_and_nothing_else(site):
    set_price(site, Decimal("0.05"), START)
    write_prices(site, [span(4, 5, "0.01"), span(5, 6, "0.01"), span(6, 7, "-0.02"), span(20, 21, "0.09", "EUR")])
    wanted = [
        (at(0), at(4), Decimal("0.05"), "USD"),
        (at(4), at(6), Decimal("0.01"), "USD"),
        (at(6), at(7), Decimal("-0.02"), "USD"),
        (at(7), at(20), Decimal("0.05"), "USD"),
        (at(20), at(21), Decimal("0.09"), "EUR"),
        (at(21), None, Decimal("0.05"), "USD"),
    ]
    assert history(site) == wanted
    ids = set(ElectricityPrice.objects.values_list("pk", flat=True))
    again = write_prices(site, [span(4, 6, "0.01"), span(6, 7, "-0.02"), span(20, 21, "0.09", "EUR")])
    assert (again.rows, again.changed) == (0, False)
    assert set(ElectricityPrice.objects.values_list("pk", flat=True)) == ids


def test_part_of_a_longer_price_stays_on_both_sides(site):
    write_prices(site, [span(0, 10, "0.05")])
    write_prices(site, [span(3, 4, "0.07")])
    assert [(row[0], row[1]) for row in history(site)] == [(at(0), at(3)), (at(3), at(4)), (at(4), at(10))]


def test_overlapping_or_senseless_prices_change_nothing(site):
    set_price(site, Decimal("0.05"), START)
    with pytest.raises(ValidationError, match="Two prices hold"):
        write_prices(site, [span(1, 3, "0.01"), span(2, 4, "0.02")])
    with pytest.raises(ValidationError):
        write_prices(site, [span(1, 3, "0.01", "dollars")])
    with pytest.raises(ValueError, match="not per MWh"):
        span(1, 2, "5000")
    assert len(history(site)) == 1


# --- tariffs ------------------------------------------------------------------------------------------------------------


def test_weekdays_are_read_as_people_write_them():
    assert days_of("mon-fri") == {0, 1, 2, 3, 4}
    assert days_of("sat, sun") == {5, 6}
    assert days_of("fri-mon") == {4, 5, 6, 0}
    for wrong in ("", "monday", "mon-", "1-5"):
        with pytest.raises(BadTariff):
            days_of(wrong)


def test_a_band_over_midnight_is_of_the_next_day_after_it():
    week = week_of([Band(frozenset({4}), 22, 6, Decimal(1))], Decimal(2))
    assert [hour for hour, price in week.items() if price == 1] == sorted(
        [(4, 22), (4, 23), *((5, hour) for hour in range(6))]
    )
    with pytest.raises(BadTariff, match=r"mon 5:00"):
        week_of([Band(frozenset({0}), 5, 7, Decimal(1)), Band(frozenset({6}), 22, 6, Decimal(2))], Decimal(3))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), (23, 5, 18)),
        ("Europe/Berlin", date(2026, 10, 25), (25, 7, 18)),
        ("America/Chicago", date(2026, 11, 1), (25, 7, 18)),
        ("Asia/Kolkata", date(2026, 3, 29), (24, 6, 18)),
    ],
)
def test_a_night_of_clock_change_has_the_hours_that_it_has(zone, day, hours):
    """Night is 0 to 6 by the site's clock: five hours when spring leaves one out, seven when autumn doubles one."""
    clock = ZoneInfo(zone)
    start = datetime(day.year, day.month, day.day, tzinfo=clock)
    end = (
        datetime(day.year, day.month, day.day + 1, tzinfo=clock)
        if day.day < 28
        else ((start + timedelta(days=1)).replace(tzinfo=clock))
    )
    night = Band(frozenset(range(7)), 0, 6, Decimal("0.03"))
    found = list(expand([night], Decimal("0.08"), clock, start, end))
    assert [price for *_, price in found] == [Decimal("0.03"), Decimal("0.08")]
    assert [(ends - begins) // HOUR for begins, ends, _ in found] == list(hours[1:])
    assert (found[-1][1] - found[0][0]) // HOUR == hours[0]
    assert found[0][0] == start.astimezone(UTC)
    assert found[0][1] == found[1][0]


@pytest.fixture
def tariff(site):
    Site.objects.filter(pk=site.pk).update(time_zone="America/Chicago")
    site.refresh_from_db()
    contract = PowerContract.objects.create(site=site, price_per_kwh="0.08", starts_on=date(2026, 1, 1))
    TariffBand.objects.create(contract=contract, weekdays="mon-sun", from_hour=22, until_hour=6, price_per_kwh="0.03")
    return contract


def test_a_tariff_is_written_ahead_ends_the_fixed_price_and_leaves_the_past(tariff):
    site = tariff.site
    set_price(site, Decimal("0.05"), START)
    done = expand_tariff(tariff)
    now = datetime.now(UTC)
    rows = history(site)
    assert done.changed
    assert rows[0][2] == Decimal("0.05")
    assert now - HOUR <= rows[0][1] <= now
    assert rows[-1][1] >= now + timedelta(days=8)
    assert {row[2] for row in rows[1:]} == {Decimal("0.08"), Decimal("0.03")}
    for moment in (rows[1][0] + step * HOUR for step in range(9 * 24)):
        local = moment.astimezone(ZoneInfo("America/Chicago"))
        wanted = Decimal("0.03") if local.hour >= 22 or local.hour < 6 else Decimal("0.08")
        assert price_at(site, moment).price_per_kwh == wanted
    assert not expand_tariff(tariff).changed


def test_a_contract_from_an_earlier_day_prices_its_past_when_told_to(tariff):
    expand_tariff(tariff, since=tariff.starts_at())
    assert history(tariff.site)[0][0] == datetime(2026, 1, 1, 6, tzinfo=UTC)


# --- files --------------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, dict]:
    out, code = io.StringIO(), 0
    try:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as ended:
        code = ended.code
    return code, json.loads(out.getvalue())


def test_a_file_is_imported_once_and_its_bad_rows_are_named(site, tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text(
        "time,price_per_mwh,currency\n"
        "2026-03-01T00:00Z,50,\n2026-03-01T01:00Z,50.5,USD\nyesterday,50,\n2026-03-01T02:00Z,lots,\n"
        "2026-03-01T02:00Z,-3.25,\n2026-03-01T02:30Z,1,\n2026-03-01T05:00Z,9,euro\n2026-03-01T05:00Z,9\n"
    )
    dry = run("import_electricity_prices", "--site", "North", str(file), "--dry-run")
    assert ElectricityPrice.objects.count() == 0
    code, document = run("import_electricity_prices", "--site", "North", str(file))
    assert dry == (1, {**document, "dry_run": True})
    assert code == 1
    assert (document["rows"], document["prices_written"], document["bad_rows"]) == (3, 3, 5)
    assert [row["line"] for row in document["bad"]] == [4, 5, 7, 8, 9]
    assert [row[2] for row in history(site)] == [Decimal("0.05"), Decimal("0.0505"), Decimal("-0.00325")]
    assert run("import_electricity_prices", "--site", "North", str(file))[1]["prices_written"] == 0


def test_local_times_of_a_file_are_the_sites_and_the_doubled_hour_counts_twice(site, tmp_path):
    Site.objects.filter(pk=site.pk).update(time_zone="Europe/Berlin")
    file = tmp_path / "prices.csv"
    file.write_text(
        "time,price_per_kwh\n"
        + "".join(f"2026-10-25 {hour},0.0{at}\n" for at, hour in enumerate(["01:00", "02:00", "02:00", "03:00"], 1))
    )
    code, document = run("import_electricity_prices", "--site", "North", str(file))
    assert (code, document["rows"]) == (0, 4)
    begin = datetime(2026, 10, 24, 23, tzinfo=UTC)
    assert [row[:2] for row in history(site)] == [(begin + n * HOUR, begin + (n + 1) * HOUR) for n in range(4)]
    file.write_text("time,price_per_kwh\n2026-03-29 02:00,0.1\n")
    assert "does not exist" in run("import_electricity_prices", "--site", "North", str(file))[1]["bad"][0]["reason"]


def test_a_file_or_site_that_cannot_be_is_refused(site, tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("time,price\n")
    for arguments, told in ((("--site", "North"), "no column 'price'"), (("--site", "Nowhere"), r"Sites: North")):
        with pytest.raises(CommandError, match=told):
            call_command("import_electricity_prices", *arguments, str(file), stdout=io.StringIO())


def test_a_fixed_price_is_set_by_a_command_by_the_sites_clock(site):
    Site.objects.filter(pk=site.pk).update(time_zone="America/Chicago")
    code, document = run("set_electricity_price", "--site", "North", "--price", "0.055", "--from", "2026-12-01")
    assert (code, document["changed"]) == (0, True)
    assert history(site) == [(datetime(2026, 12, 1, 6, tzinfo=UTC), None, Decimal("0.055"), "USD")]


# --- markets ------------------------------------------------------------------------------------------------------------


def quarter_hours(day: datetime, count: int = 96, **changes) -> dict:
    times = [int(day.timestamp()) + 900 * at for at in range(count)]
    return {
        "license_info": "",
        "unix_seconds": times,
        "price": [40 + at / 4 for at in range(count)],
        "unit": "EUR / MWh",
        "deprecated": False,
    } | changes


@pytest.fixture
def day_ahead(site, settings):
    def ask(
        source: Source | str, kind="energy-charts", zone="DE-LU", now=datetime(2026, 11, 23, 14, tzinfo=UTC), fee="0.01"
    ):
        currency = "EUR" if kind == "energy-charts" else "USD"
        values = {
            "kind": kind,
            "zone": zone,
            "currency": currency,
            "price_per_kwh": fee,
            "starts_on": date(2026, 11, 1),
        }
        contract, _ = PowerContract.objects.update_or_create(site=site, defaults=values)
        contract.refresh_from_db()
        name = "POWER_ENERGY_CHARTS_URL" if kind == "energy-charts" else "POWER_NYISO_URL"

        def asked(url: str):
            setattr(settings, name, url)
            settings.MARKET_INNER_TARGETS = [target_of(url)]
            return price_ahead([contract], now=now)[0]

        if isinstance(source, str):
            return asked(source)
        with serving(source) as served:
            return asked(served.url)

    return ask


def test_european_quarter_hours_are_stored_with_the_surcharge(site, day_ahead):
    begin = datetime(2026, 11, 22, 23, tzinfo=UTC)
    source = Source({"/price": quarter_hours(begin)})
    priced = day_ahead(source)
    assert (priced.outcome, priced.rows) == ("ok", 96)
    assert [path.split("start=")[1] for path in source.asked] == [
        "2026-11-23&end=2026-11-23",
        "2026-11-24&end=2026-11-24",
    ]
    rows = history(site)
    assert rows[1] == (begin + HOUR / 4, begin + HOUR / 2, Decimal("0.05025"), "EUR")
    assert rows[-1][1] == begin + 24 * HOUR
    again = day_ahead(Source({"/price": quarter_hours(begin)}))
    assert (again.outcome, again.changed) == ("ok", False)


@pytest.mark.parametrize(
    "reply",
    [
        {"unix_seconds": []},
        {"unit": "USD / MWh"},
        {"price": [1]},
        {"price": ["lots"] * 96},
        {"price": [999999999] * 96},
        {"unix_seconds": list(range(96))},
    ],
    ids=str,
)
def test_a_senseless_reply_stores_nothing(site, day_ahead, reply):
    priced = day_ahead(Source({"/price": quarter_hours(datetime(2026, 11, 22, 23, tzinfo=UTC), **reply)}))
    assert priced.outcome == "bad_reply"
    assert history(site) == []


def test_a_market_that_is_away_leaves_the_hours_without_a_price(site, day_ahead, settings):
    set_price(site, Decimal("0.05"), datetime(2026, 1, 1, tzinfo=UTC))
    settings.POWER_TIMEOUT_S = 0.5
    assert day_ahead(nobody()).outcome == "unreachable"
    assert day_ahead(Source({"/price": {}}, status=500)).outcome == "http_error"
    assert (
        day_ahead(Source({"/price": quarter_hours(datetime(2026, 11, 22, 23, tzinfo=UTC))}, delay_s=5)).outcome
        == "timeout"
    )
    assert len(history(site)) == 1
    assert day_ahead("").outcome == "off"


NYISO = (
    '"Time Stamp","Name","PTID","LBMP ($/MWHr)","Marginal Cost Losses ($/MWHr)","Marginal Cost Congestion ($/MWHr)"\n'
)


def test_new_yorks_doubled_hour_has_two_prices(site, day_ahead):
    hours = ["00:00", "01:00", "01:00", *(f"{hour:02}:00" for hour in range(2, 24))]
    lines = [
        f'"11/01/2026 {hour}","{zone}",61757,{at}.5,0,0' for at, hour in enumerate(hours) for zone in ("CAPITL", "WEST")
    ]
    source = Source({"/public/csv/damlbmp/20261101damlbmp_zone.csv": True}, raw=(NYISO + "\n".join(lines)).encode())
    now = datetime(2026, 11, 1, 15, tzinfo=UTC)
    priced = day_ahead(source, "nyiso", "west", now, fee="0")
    assert (priced.outcome, priced.rows) == ("not_out", 25)  # tomorrow is 404
    rows = history(site)
    begin = datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert [row[0] for row in rows] == [begin + at * HOUR for at in range(25)]
    assert [row[2] for row in rows[:3]] == [Decimal("0.0005"), Decimal("0.0015"), Decimal("0.0025")]
    unknown = day_ahead(source, "nyiso", "NOWHERE", now)
    assert (unknown.outcome, unknown.changed) == ("bad_reply", False)


def test_the_daily_task_and_the_command_bring_every_contract_up_to_date(tariff):
    price_power()
    rows = ElectricityPrice.objects.count()
    assert rows > 15
    code, document = run("collect_power_prices", "--site", "North")
    assert code == 0
    assert [(one["site"], one["kind"], one["outcome"], one["changed"]) for one in document["sites"]] == [
        ("North", "tariff", "ok", False)
    ]
    TariffBand.objects.create(contract=tariff, weekdays="mon", from_hour=5, until_hour=7, price_per_kwh="0.01")
    code, document = run("collect_power_prices")
    assert (code, document["sites"][0]["outcome"]) == (1, "bad_tariff")
    assert ElectricityPrice.objects.count() == rows
    Site.objects.create(name="South")
    with pytest.raises(CommandError, match="no contract"):
        call_command("collect_power_prices", "--site", "South")


def test_the_demo_has_a_fixed_price_and_a_tariff(site):
    price_electricity(site)  # not the first demo site: a cheap night
    first = Site.objects.create(name="North Ridge")
    price_electricity(first)
    before = history(site), history(first)
    for _ in range(2):
        price_electricity(site)
        price_electricity(first)
    assert (history(site), history(first)) == before
    assert [row[1:] for row in before[1]] == [(None, Decimal("0.055"), "USD")]
    assert {row[2] for row in before[0]} == {Decimal("0.068"), Decimal("0.041")}
