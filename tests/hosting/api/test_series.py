"""Charts: a regular grid, gaps where nothing is known, sums that do not lie at the edge."""

from datetime import UTC, datetime, timedelta

import pytest

from hosting.models import ClientBucket, Site, SiteBucket
from hosting.telemetry.series import Chart, chart_for_client, chart_for_miner, chart_for_site

pytestmark = pytest.mark.django_db

UNTIL = datetime(2026, 11, 20, 10, 7, 30, tzinfo=UTC)
NEWEST = datetime(2026, 11, 20, 10, 5, tzinfo=UTC)


def at(chart: Chart, moment: datetime) -> tuple[float | None, float | None, float | None]:
    index = chart.t.index(int(moment.timestamp()))
    return chart.hashrate_ths[index], chart.power_kw[index], chart.temperature_c[index]


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


def test_a_day_is_288_points_five_minutes_apart_the_last_one_running(miner_a, read):
    chart = chart_for_miner(miner_a.pk, until=UNTIL)
    newest = int(NEWEST.timestamp())
    assert chart.t == list(range(newest - 287 * 300, newest + 300, 300))
    assert chart.step_s == 300
    assert chart.hashrate_ths == chart.power_kw == chart.temperature_c == [None] * 288
    assert chart.power_estimated is False


@pytest.mark.parametrize(
    ("hours", "step_s", "points"), [(1, 300, 12), (41, 300, 492), (42, 900, 168), (168, 1800, 336), (720, 10_800, 240)]
)
def test_a_longer_chart_has_a_coarser_grid_and_at_most_500_points(miner_a, hours, step_s, points):
    chart = chart_for_miner(miner_a.pk, until=UNTIL, hours=hours)
    assert (chart.step_s, len(chart.t), len(chart.power_kw)) == (step_s, points, points)
    assert all(t % step_s == 0 for t in chart.t)
    assert chart.t[-1] <= UNTIL.timestamp() < chart.t[-1] + step_s


def test_ten_years_are_at_most_500_points_and_all_of_them(miner_a):
    chart = chart_for_miner(miner_a.pk, until=UNTIL, hours=87_600)
    assert (chart.step_s, len(chart.t)) == (8 * 86_400, 457)
    assert chart.t[0] <= (UNTIL - timedelta(hours=87_600)).timestamp() + chart.step_s


def test_a_machines_point_is_mean_hashrate_mean_power_and_highest_temperature(miner_a, miner_b, read):
    read(miner_a, NEWEST - minutes(5), "100.00", "60.00", "3000.00")
    read(miner_a, NEWEST - minutes(1), "103.00", "71.50", None)
    read(miner_a, NEWEST, "50.00", None, "3210.00", estimated=True)
    read(miner_b, NEWEST, "999.00", "99.00", "9999.00")
    chart = chart_for_miner(miner_a.pk, until=UNTIL)
    assert at(chart, NEWEST - minutes(5)) == (101.5, 3.0, 71.5)
    assert at(chart, NEWEST) == (50.0, 3.21, None)
    assert at(chart, NEWEST - minutes(10)) == (None, None, None)
    assert chart.power_estimated is True


def test_a_reading_outside_of_the_grid_is_not_in_it(miner_a, read):
    read(miner_a, NEWEST + minutes(5))
    read(miner_a, NEWEST - timedelta(hours=24))
    chart = chart_for_miner(miner_a.pk, until=UNTIL, hours=24)
    assert set(chart.hashrate_ths) == {None}


def test_an_estimate_without_power_is_no_estimate(miner_a, read):
    read(miner_a, NEWEST, power=None, estimated=True)
    assert chart_for_miner(miner_a.pk, until=UNTIL).power_estimated is False


def bucket(kind, moment, swept, hashrate_sum, power_sum, *, estimated=0, **owner):
    kind.objects.create(
        bucket=moment,
        minutes=swept,
        samples=swept,
        hashrate_ths_sum=hashrate_sum,
        power_w_sum=power_sum,
        estimated_samples=estimated,
        temperature_max_c="66.00",
        **owner,
    )


def test_a_sites_newest_point_is_the_mean_of_the_minutes_swept_so_far(site):
    bucket(SiteBucket, NEWEST - minutes(5), 5, "1000.00", "30000.00", site=site)
    bucket(SiteBucket, NEWEST, 2, "400.00", "12000.00", site=site, estimated=1)
    chart = chart_for_site(site.pk, until=UNTIL)
    assert at(chart, NEWEST - minutes(5)) == (200.0, 6.0, 66.0)
    assert at(chart, NEWEST) == (200.0, 6.0, 66.0)
    assert chart.power_estimated is True


def test_minutes_in_which_nothing_was_read_are_a_gap_and_lower_no_mean(site):
    bucket(SiteBucket, NEWEST, 5, None, None, site=site)
    assert at(chart_for_site(site.pk, until=UNTIL), NEWEST)[:2] == (None, None)
    hour = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    bucket(SiteBucket, hour, 5, "1000.00", "30000.00", site=site)
    chart = chart_for_site(site.pk, until=UNTIL, hours=300)
    assert chart.step_s == 3600
    assert at(chart, hour)[:2] == (200.0, 6.0)


def test_a_clients_sites_are_added_up(site, client_a, client_b):
    south = Site.objects.create(name="South")
    bucket(ClientBucket, NEWEST, 5, "500.00", "5000.00", client=client_a, site=site)
    bucket(ClientBucket, NEWEST, 2, "20.00", "200.00", client=client_a, site=south)
    bucket(ClientBucket, NEWEST, 5, "9000.00", "9000.00", client=client_b, site=site)
    assert at(chart_for_client(client_a.pk, until=UNTIL), NEWEST) == (110.0, 1.1, 66.0)


def test_the_newest_sum_waits_until_every_site_is_in(site, client_a):
    south = Site.objects.create(name="South")
    for each in (site, south):
        bucket(ClientBucket, NEWEST - minutes(5), 5, "500.00", "5000.00", client=client_a, site=each)
    bucket(ClientBucket, NEWEST, 1, "100.00", "1000.00", client=client_a, site=site)
    chart = chart_for_client(client_a.pk, until=UNTIL)
    assert at(chart, NEWEST - minutes(5))[0] == 200.0
    assert at(chart, NEWEST) == (None, None, None)


def test_a_chart_is_plain_json(miner_a, read):
    read(miner_a, NEWEST)
    document = chart_for_miner(miner_a.pk, until=UNTIL, hours=1).as_json()
    assert set(document) == {"t", "hashrate_ths", "power_kw", "temperature_c", "step_s", "power_estimated"}
    assert (document["hashrate_ths"][-1], document["hashrate_ths"][0]) == (100.0, None)
    assert all(type(t) is int for t in document["t"])
