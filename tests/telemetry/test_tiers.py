"""One function chooses the table for a range: never more than 500 points, never a reading twice, and none left out."""

import importlib.util
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hosting.models import ClientBucket, Miner, MinerHour, Site, SiteBucket, Telemetry
from hosting.telemetry.rollups import roll_up, rolled_up
from hosting.telemetry.series import Chart, chart_for_client, chart_for_miner, chart_for_site
from hosting.telemetry.tiers import OF_A_GROUP, OF_A_MINER, Grid, RolledUp, Tier, pick
from tests.telemetry.synthetic import fill

START = datetime(2025, 6, 1, tzinfo=UTC)
DAYS = timedelta(days=1)

FIVE_MINUTES = """
INSERT INTO {table} ({owner}bucket, site_id, minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples,
    temperature_max_c)
SELECT {select}date_bin('5 minutes', recorded_at, 'epoch'), m.site_id, count(DISTINCT recorded_at), count(*), sum(t.hashrate),
    sum(power_consumption), count(*) FILTER (WHERE power_estimated), max(temperature)
FROM miner_telemetry t JOIN hosting_miners m ON m.id = t.miner_id GROUP BY {group}2, 1
"""


@pytest.mark.parametrize("hours", [1, 24, 41, 42, 168, 500, 501, 2160, 8784, 12_001, 87_600, 1_000_000])
def test_no_range_has_more_than_500_points_and_none_is_cut_short(hours):
    grid = Grid.covering(until=START, hours=hours)
    assert 1 <= len(grid.times) <= 500
    assert grid.end_s - grid.start_s >= hours * 3600 - grid.step_s
    assert grid.start_s % grid.step_s == 0
    assert grid.end > START >= grid.end - timedelta(seconds=grid.step_s)


@pytest.mark.parametrize(
    ("hours", "of_miner", "of_group"),
    [
        (24, Tier.MINUTES, Tier.FIVE_MINUTES),
        (249, Tier.MINUTES, Tier.FIVE_MINUTES),
        (251, Tier.HOURS, Tier.HOURS),
        (6000, Tier.HOURS, Tier.HOURS),
        (6001, Tier.DAYS, Tier.HOURS),
    ],
)
def test_the_coarsest_tier_that_fits_is_read(hours, of_miner, of_group):
    grid = Grid.covering(until=START, hours=hours)
    computed = RolledUp(hours=START, days=START)
    assert (pick(grid, OF_A_MINER, computed).tier, pick(grid, OF_A_GROUP, computed).tier) == (of_miner, of_group)


def test_what_is_not_computed_yet_is_read_as_it_was_stored():
    grid = Grid.covering(until=START, hours=720)
    assert pick(grid, OF_A_MINER, RolledUp()).tier is Tier.MINUTES
    late = pick(grid, OF_A_MINER, RolledUp(hours=START - timedelta(hours=9)))
    assert (late.tier, late.finest, late.switch) == (Tier.HOURS, Tier.MINUTES, START - timedelta(hours=9))


def same(one: Chart, other: Chart) -> bool:
    return one.t == other.t and all(
        left == pytest.approx(right, abs=0.011)
        for left, right in zip(
            one.hashrate_ths + one.power_kw + one.temperature_c,
            other.hashrate_ths + other.power_kw + other.temperature_c,
            strict=True,
        )
        if (left is None) == (right is None) or pytest.fail(f"{left} is not {right}")
    )


@pytest.mark.django_db
@pytest.mark.parametrize("hours", [300, 720, 9000])
def test_a_machines_chart_is_the_same_from_hours_and_days_as_from_its_readings(miner_a, hours):
    until = START + 3 * DAYS + timedelta(hours=7, minutes=33)
    fill([miner_a], START, until)
    raw = chart_for_miner(miner_a.pk, until=until, hours=hours)
    roll_up(START, until)
    assert rolled_up([miner_a.site_id], days=True) == RolledUp(START + 3 * DAYS + timedelta(hours=7), START + 3 * DAYS)
    assert same(chart_for_miner(miner_a.pk, until=until, hours=hours), raw)
    assert sum(value is not None for value in raw.power_kw) >= 4


@pytest.mark.django_db
def test_a_long_chart_opens_only_the_days_that_are_not_rolled_up(miner_a):
    until = START + 4 * DAYS
    fill([miner_a], START, until)
    roll_up(START, until - timedelta(hours=2))
    Telemetry.objects.filter(recorded_at__lt=until - timedelta(hours=2)).delete()
    chart = chart_for_miner(miner_a.pk, until=until, hours=300)
    assert sum(value is not None for value in chart.power_kw) == 96
    with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
        chart_for_miner(miner_a.pk, until=until, hours=300)
        cursor.execute(f"EXPLAIN {queries.captured_queries[-1]['sql']}")
        plan = str(cursor.fetchall())
    assert "miner_telemetry_20250604" in plan
    assert [day for day in ("0601", "0602", "0603") if f"miner_telemetry_2025{day}" in plan] == []


def add_five_minutes() -> None:
    with connection.cursor() as cursor:
        cursor.execute(FIVE_MINUTES.format(table="site_telemetry_5min", owner="", select="", group=""))
        cursor.execute(
            FIVE_MINUTES.format(table="client_telemetry_5min", owner="client_id, ", select="m.client_id, ", group="3, ")
        )


@pytest.mark.django_db
def test_a_sites_and_a_clients_chart_are_the_same_from_hours_as_from_five_minutes(miner_a, miner_b, client_a):
    south = Site.objects.create(name="South")
    Miner.objects.filter(pk=miner_b.pk).update(site=south, client=client_a)
    miner_b.refresh_from_db()
    until = START + 2 * DAYS + timedelta(minutes=50)
    fill([miner_a, miner_b], START, until)
    add_five_minutes()
    assert (SiteBucket.objects.count(), ClientBucket.objects.count()) == (2 * 586, 2 * 586)
    of_site = chart_for_site(south.pk, until=until, hours=300)
    of_client = chart_for_client(client_a.pk, until=until, hours=300)
    roll_up(START, until)
    for bucket in (SiteBucket, ClientBucket):  # only what no hour holds is read from them
        bucket.objects.filter(bucket__lt=START + 2 * DAYS).delete()
    assert same(chart_for_site(south.pk, until=until, hours=300), of_site)
    assert same(chart_for_client(client_a.pk, until=until, hours=300), of_client)
    assert sum(value is not None for value in of_client.power_kw) == 49


@pytest.mark.django_db
def test_a_local_day_lies_in_the_day_that_holds_its_noon(miner_a):
    Site.objects.filter(pk=miner_a.site_id).update(time_zone="Europe/Berlin")
    fill([miner_a], START - timedelta(hours=2), START + timedelta(hours=22))
    roll_up(START - timedelta(hours=2), START + timedelta(hours=22))
    chart = chart_for_miner(miner_a.pk, until=START + timedelta(hours=22), hours=7000)
    assert [t for t, value in zip(chart.t, chart.power_kw, strict=True) if value] == [int(START.timestamp())]
    assert MinerHour.objects.count() == 24


@pytest.mark.django_db
@pytest.mark.parametrize("asked", [("", 300, 288), ("168", 1800, 336), ("0", 300, 12), ("x", 300, 288)])
def test_the_portals_charts_take_any_range(client, client_a, miner_a, asked):
    hours, *grid = asked
    client.force_login(client_a)
    for url in (f"/miners/{miner_a.pk}/chart.json", "/miners/chart.json"):
        chart = client.get(url, {"hours": hours}).json()
        assert [chart["step_s"], len(chart["t"])] == grid


@pytest.mark.django_db
def test_a_years_export_is_at_most_500_lines_of_csv(miner_a, tmp_path, capsys):
    fill([miner_a], START, START + 2 * DAYS)
    roll_up(START, START + 2 * DAYS)
    arguments = ["export_telemetry", "--miner", "A-0001", "--since", "2025-06-01", "--until", "2025-06-03"]
    call_command(*arguments, "--output", str(tmp_path / "year.csv"))
    lines = (tmp_path / "year.csv").read_text().splitlines()
    assert lines[0] == "starts_at,hashrate_ths,power_kw,temperature_c"
    assert (len(lines), lines[1][:21]) == (193, "2025-06-01T00:00:00Z,")
    call_command(*arguments)
    assert capsys.readouterr().out.splitlines() == lines
    call_command("export_telemetry", "--site", "North", "--since", "2024-06-03", "--until", "2025-06-03")
    lines = capsys.readouterr().out.splitlines()
    assert 300 < len(lines) <= 501
    assert len([line for line in lines[1:] if ",," not in line]) == 2


@pytest.mark.django_db
@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_says_what_it_lacks(miner_a, tmp_path):
    with pytest.raises(CommandError, match="optional package pyarrow"):
        call_command(
            "export_telemetry", "--miner", "A-0001", "--format", "parquet", "--output", str(tmp_path / "x.parquet")
        )


@pytest.mark.django_db
def test_an_export_of_nobody_names_the_next_step():
    for whose in (["--miner", "none"], ["--site", "none"], ["--client", "none"]):
        with pytest.raises(CommandError, match="look in the admin"):
            call_command("export_telemetry", *whose)
