"""Readings through the API: which rows, in which order, how averaged, how far back, from which partitions."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hosting.models import Site, SiteBucket
from hosting.telemetry.partitions import create_partition

pytestmark = pytest.mark.django_db

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
HOUR = "from=2026-11-20T10:00:00Z&to=2026-11-20T11:00:00Z"


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def rows(response) -> list[dict]:
    assert response.status_code == 200, response.content
    return response.json()["results"]


def walk(door, url: str) -> tuple[list[tuple[str, int]], int]:
    """Every (recorded_at, miner_id) of every page, and the number of pages."""
    found, pages = [], 0
    while url:
        response = door.get(url)
        found += [(row["recorded_at"], row["miner_id"]) for row in rows(response)]
        url = response.json()["next"]
        pages += 1
        assert pages < 200, "the pages do not end"
    return found, pages


def stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


# --- rows ---------------------------------------------------------------------------------------------------------------


def test_a_reading_goes_out_as_it_was_taken(api, client_a, miner_a, read):
    read(miner_a, TEN, "110.57", "78.25", "3261.82", fan="5490.50", estimated=True)
    assert rows(api(client_a).get(f"/api/v1/telemetry/?{HOUR}")) == [
        {
            "recorded_at": "2026-11-20T10:00:00Z",
            "miner_id": miner_a.pk,
            "hashrate_ths": 110.57,
            "temperature_c": 78.25,
            "power_w": 3261.82,
            "power_estimated": True,
            "fan_rpm": 5490.5,
        }
    ]


def test_unknown_values_are_null(api, client_a, miner_a, read):
    read(miner_a, TEN, None, None, None, fan=None)
    for resolution in ("1m", "5m", "1h", "1d"):
        (row,) = rows(api(client_a).get(f"/api/v1/telemetry/?{HOUR}&resolution={resolution}"))
        assert [row[key] for key in ("hashrate_ths", "temperature_c", "power_w", "fan_rpm")] == [None] * 4
        assert row["power_estimated"] is False


def test_a_range_holds_its_first_moment_and_not_its_last(api, operator, miner_a, read):
    for offset in (-1, 0, 59, 60):
        read(miner_a, TEN + minutes(offset))
    found, _ = walk(api(operator), f"/api/v1/telemetry/?{HOUR}")
    assert found == [(stamp(TEN + minutes(59)), miner_a.pk), (stamp(TEN), miner_a.pk)]


def test_without_a_range_it_is_the_last_day(api, operator, miner_a, read):
    now = timezone.now().replace(second=0, microsecond=0)
    for day in (now, now - timedelta(days=1), now - timedelta(days=2)):
        create_partition(day.astimezone(UTC).date())
    read(miner_a, now - timedelta(days=1, minutes=1))
    read(miner_a, now - timedelta(hours=23))
    found, _ = walk(api(operator), "/api/v1/telemetry/")
    assert found == [(stamp(now - timedelta(hours=23)), miner_a.pk)]


def test_an_offset_is_understood(api, operator, miner_a, read):
    read(miner_a, TEN)
    url = "/api/v1/telemetry/?from=2026-11-20T15:30:00%2B05:30&to=2026-11-20T15:31:00%2B05:30"
    assert len(rows(api(operator).get(url))) == 1


@pytest.mark.parametrize("resolution", ["1m", "5m", "1h", "1d"])
def test_pages_end_and_hold_every_row_once_though_thousands_share_a_minute(api, operator, make_miner, read, resolution):
    miners = [make_miner(f"K-{number}") for number in range(11)]
    for offset in (0, 1, 7, 61, 62, 121):
        for miner in miners:
            read(miner, TEN + minutes(offset))
    step = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}[resolution]
    starts = {int((TEN + minutes(offset)).timestamp()) // step * step for offset in (0, 1, 7, 61, 62, 121)}
    expected = [
        (stamp(datetime.fromtimestamp(start, UTC)), miner.pk)
        for start in sorted(starts, reverse=True)
        for miner in reversed(miners)
    ]
    door = api(operator)
    query = f"from=2026-11-20T08:00:00Z&to=2026-11-20T14:00:00Z&resolution={resolution}"
    for size in (1, 4, 11, 13, 1000):
        found, pages = walk(door, f"/api/v1/telemetry/?{query}&page_size={size}")
        assert found == expected
        assert pages == -(-len(expected) // size)


def test_rows_that_arrive_while_paging_shift_nothing(api, operator, miner_a, read):
    for offset in range(6):
        read(miner_a, TEN + minutes(offset))
    door = api(operator)
    first = door.get(f"/api/v1/telemetry/?{HOUR}&page_size=3").json()
    read(miner_a, TEN + minutes(30))
    second = door.get(first["next"]).json()
    assert [row["recorded_at"] for row in second["results"]] == [stamp(TEN + minutes(n)) for n in (2, 1, 0)]
    assert second["next"] is None


def test_the_next_link_pins_a_range_that_was_relative_to_now(api, operator, miner_a, read):
    now = timezone.now().replace(second=0, microsecond=0)
    for day in (now, now - timedelta(days=1)):
        create_partition(day.astimezone(UTC).date())
    read(miner_a, now - timedelta(hours=3))
    read(miner_a, now - timedelta(hours=2))
    url = api(operator).get("/api/v1/telemetry/?page_size=1").json()["next"]
    assert re.search(r"[?&]from=\d{4}-", url)
    assert re.search(r"[?&]to=\d{4}-", url)
    assert len(rows(api(operator).get(url))) == 1


# --- averages -----------------------------------------------------------------------------------------------------------


def test_a_coarser_row_is_the_mean_the_highest_temperature_and_how_many(api, operator, miner_a, read):
    read(miner_a, TEN, "100.00", "60.00", "3000.00", fan="4000.00")
    read(miner_a, TEN + minutes(1), "103.00", "71.50", None, fan="5000.00", estimated=True)
    read(miner_a, TEN + minutes(4), None, None, "3100.50", fan=None)
    read(miner_a, TEN + minutes(5), "50.00", "40.00", "1000.00", estimated=True)
    five = rows(api(operator).get(f"/api/v1/telemetry/?{HOUR}&resolution=5m"))
    assert five[1] == {
        "recorded_at": "2026-11-20T10:00:00Z",
        "miner_id": miner_a.pk,
        "hashrate_ths": 101.5,
        "temperature_c": 71.5,
        "power_w": 3050.25,
        "power_estimated": False,
        "fan_rpm": 4500.0,
        "samples": 3,
    }
    assert (five[0]["recorded_at"], five[0]["samples"], five[0]["power_estimated"]) == ("2026-11-20T10:05:00Z", 1, True)
    (hour,) = rows(api(operator).get(f"/api/v1/telemetry/?{HOUR}&resolution=1h"))
    assert (hour["hashrate_ths"], hour["samples"], hour["power_estimated"]) == (84.33, 4, True)


def test_an_interval_is_whole_though_the_range_cuts_it(api, operator, miner_a, read):
    for offset in (0, 2, 4):
        read(miner_a, TEN + minutes(offset))
    url = "/api/v1/telemetry/?from=2026-11-20T10:03:00Z&to=2026-11-20T10:04:00Z&resolution=5m"
    (row,) = rows(api(operator).get(url))
    assert (row["recorded_at"], row["samples"]) == ("2026-11-20T10:00:00Z", 3)


# --- who ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", ["1m", "5m", "1h", "1d"])
def test_a_client_gets_readings_of_their_own_machines_only(api, *, client_a, miner_a, miner_b, read, resolution):
    read(miner_a, TEN)
    read(miner_b, TEN)
    found = rows(api(client_a).get(f"/api/v1/telemetry/?{HOUR}&resolution={resolution}"))
    assert [row["miner_id"] for row in found] == [miner_a.pk]


def test_another_clients_machine_or_an_unknown_one_is_404(api, client_a, miner_a, miner_b, read):
    door = api(client_a)
    elsewhere = Site.objects.create(name="South")
    for query in (f"miner={miner_b.pk}", "miner=2147483647", f"miner={miner_a.pk}&miner={miner_b.pk}"):
        assert door.get(f"/api/v1/telemetry/?{query}").status_code == 404
    assert door.get(f"/api/v1/telemetry/?site={elsewhere.pk}").status_code == 404
    assert door.get(f"/api/v1/miners/{miner_b.pk}/telemetry/").status_code == 404


def test_readings_of_one_machine_have_a_path_of_their_own(api, client_a, miner_a, make_miner, read):
    other = make_miner("A-0002", client=client_a)
    read(miner_a, TEN)
    read(other, TEN)
    door = api(client_a)
    for url in (f"/api/v1/miners/{miner_a.pk}/telemetry/?{HOUR}", f"/api/v1/telemetry/?{HOUR}&miner={miner_a.pk}"):
        assert [row["miner_id"] for row in rows(door.get(url))] == [miner_a.pk]
    both = rows(door.get(f"/api/v1/telemetry/?{HOUR}&miner={miner_a.pk}&miner={other.pk}&resolution=1h"))
    assert [row["miner_id"] for row in both] == [other.pk, miner_a.pk]


def test_a_site_narrows_to_the_machines_that_are_there(api, operator, miner_a, make_miner, read):
    south = Site.objects.create(name="South")
    moved = make_miner("S-1", site=south)
    read(miner_a, TEN)
    read(moved, TEN)
    for resolution in ("1m", "5m"):
        url = f"/api/v1/telemetry/?{HOUR}&site={south.pk}&resolution={resolution}"
        assert [row["miner_id"] for row in rows(api(operator).get(url))] == [moved.pk]
    assert rows(api(operator).get(f"/api/v1/telemetry/?{HOUR}&site={south.pk}&miner={miner_a.pk}")) == []


# --- bounds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=0996-01-01T00:00:00%2B18:07", "from"),
        ("from=2026-11-20T10:00:00%2B18:07", "from"),
        ("from=0996-01-01T00:00:00Z", "from"),
        ("to=99999-01-01T00:00:00Z", "to"),
        ("to=9999-12-31T23:59:59-12:00", "to"),
        ("from=2026-02-30T00:00:00Z", "from"),
        ("from=2026-11-20T10:00:00+00:00", "from"),
        ("from=yesterday", "from"),
        ("from=2026-11-20%00", "from"),
        ("from=", "from"),
        ("from=2026-11-20T10:00:00Z&to=2026-11-20T10:00:00Z", "from"),
        ("resolution=2m", "resolution"),
        ("resolution=", "resolution"),
        ("miner=abc", "miner"),
        ("miner=99999999999999999999", "miner"),
        ("miner=%00", "miner"),
        ("site=1.5", "site"),
        ("cursor=abc", "cursor"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OS4x", "cursor"),
        ("page_size=0", "page_size"),
        ("resolutoin=1h", "resolutoin"),
    ],
)
def test_a_bad_parameter_is_named(api, operator, miner_a, query, field):
    response = api(operator).get(f"/api/v1/telemetry/?{query}")
    assert response.status_code == 400, response.content
    assert list(response.json()["error"]["fields"]) == [field]


def test_a_long_range_is_refused_with_the_limit(api, operator, make_miner, days):
    door = api(operator)
    for number in range(100):
        make_miner(f"L-{number}")
    two_days = "from=2026-11-18T00:00:00Z&to=2026-11-20T00:00:00Z"
    assert door.get(f"/api/v1/telemetry/?{two_days}").status_code == 200
    many = make_miner("L-100")
    response = door.get(f"/api/v1/telemetry/?{two_days}")
    assert response.status_code == 400
    assert response.json()["error"]["message"] == (
        "from: At resolution 1m a range is at most 1 days, or 90 days for at most 100 machines. Ask in parts."
    )
    assert door.get(f"/api/v1/telemetry/?{two_days}&resolution=1h").status_code == 200
    assert door.get(f"/api/v1/telemetry/?{two_days}&miner={many.pk}").status_code == 200
    response = door.get(f"/api/v1/miners/{many.pk}/telemetry/?from=2026-01-01&to=2026-11-20")
    assert response.json()["error"]["message"] == "from: At resolution 1m a range is at most 90 days. Ask in parts."


def partitions_in_plans(door, url: str) -> tuple[set[str], int]:
    """Day partitions in the plans of the telemetry queries that a request makes, and how many queries that were."""
    with CaptureQueriesContext(connection) as captured:
        assert door.get(url).status_code == 200
    queries = [query["sql"] for query in captured if re.search(r'FROM "?miner_telemetry', query["sql"])]
    found = set()
    with connection.cursor() as cursor:
        for sql in queries:
            cursor.execute(f"EXPLAIN {sql}")
            found |= set(re.findall(r"miner_telemetry_\d{8}", str(cursor.fetchall())))
    return found, len(queries)


@pytest.mark.parametrize("resolution", ["1m", "5m", "1h"])
@pytest.mark.parametrize("narrowed", ["", "&site={site}", "&miner={miner}"])
def test_a_range_of_an_hour_opens_one_partition(api, *, client_a, miner_a, read, resolution, narrowed):
    read(miner_a, TEN)
    read(miner_a, TEN + minutes(7))
    door = api(client_a)
    narrowed = narrowed.format(site=miner_a.site_id, miner=miner_a.pk)
    url = f"/api/v1/telemetry/?{HOUR}&resolution={resolution}{narrowed}"
    opened, queries = partitions_in_plans(door, url)
    assert opened == {"miner_telemetry_20261120"}
    assert queries >= 1


def test_a_later_page_opens_no_newer_partition(api, operator, miner_a, read):
    for day in range(3):
        read(miner_a, TEN + timedelta(days=day - 1))
    door = api(operator)
    first = door.get("/api/v1/telemetry/?from=2026-11-19&to=2026-11-22&page_size=1").json()
    opened, _ = partitions_in_plans(door, first["next"])
    assert opened == {"miner_telemetry_20261119", "miner_telemetry_20261120", "miner_telemetry_20261121"}
    second = door.get(first["next"]).json()
    opened, _ = partitions_in_plans(door, second["next"])
    assert opened == {"miner_telemetry_20261119", "miner_telemetry_20261120"}


# --- a site's sums ------------------------------------------------------------------------------------------------------


@pytest.fixture
def buckets(site):
    def add(at: datetime, swept: int, hashrate_sum, power_sum, *, samples=0, estimated=0, temperature=None) -> None:
        SiteBucket.objects.create(
            site=site,
            bucket=at,
            minutes=swept,
            samples=samples,
            hashrate_ths_sum=hashrate_sum,
            power_w_sum=power_sum,
            estimated_samples=estimated,
            temperature_max_c=temperature,
        )

    return add


def test_a_sites_rows_are_means_over_the_minutes_read(api, operator, site, buckets):
    buckets(TEN, 5, "1000.00", "30000.00", samples=10, estimated=5, temperature="77.00")
    buckets(TEN + minutes(5), 2, "300.00", "12000.00", samples=4)
    buckets(TEN + minutes(10), 5, None, None)
    found = rows(api(operator).get(f"/api/v1/sites/{site.pk}/telemetry/?{HOUR}"))
    assert found[2] == {
        "recorded_at": "2026-11-20T10:00:00Z",
        "hashrate_ths": 200.0,
        "power_kw": 6.0,
        "power_estimated": True,
        "temperature_c": 77.0,
        "minutes": 5,
        "samples": 10,
    }
    assert (found[1]["hashrate_ths"], found[1]["power_kw"], found[1]["power_estimated"]) == (150.0, 6.0, False)
    assert (found[0]["hashrate_ths"], found[0]["power_kw"], found[0]["minutes"]) == (None, None, 5)
    (hour,) = rows(api(operator).get(f"/api/v1/sites/{site.pk}/telemetry/?{HOUR}&resolution=1h"))
    assert (hour["hashrate_ths"], hour["power_kw"], hour["minutes"], hour["samples"]) == (185.71, 6.0, 12, 14)


def test_a_sites_pages_hold_every_interval_once(api, operator, site, buckets):
    for number in range(7):
        buckets(TEN + minutes(5 * number), 5, "10.00", "10.00")
    found, url = [], f"/api/v1/sites/{site.pk}/telemetry/?{HOUR}&page_size=3"
    while url:
        response = api(operator).get(url)
        found += [row["recorded_at"] for row in rows(response)]
        url = response.json()["next"]
    assert found == [stamp(TEN + minutes(5 * number)) for number in reversed(range(7))]


def test_what_a_whole_site_does_is_not_for_its_customers(api, client_a, miner_a, site, buckets):
    buckets(TEN, 5, "1000.00", "30000.00")
    assert api(client_a).get(f"/api/v1/sites/{site.pk}/telemetry/?{HOUR}").status_code == 404


def test_a_site_has_no_minutes_and_a_bounded_range(api, operator, site):
    door = api(operator)
    assert door.get(f"/api/v1/sites/{site.pk}/telemetry/?resolution=1m").status_code == 400
    response = door.get(f"/api/v1/sites/{site.pk}/telemetry/?from=2024-01-01&to=2026-01-01&resolution=1d")
    assert "at most 366 days" in response.json()["error"]["message"]
    assert door.get("/api/v1/sites/2147483647/telemetry/").status_code == 404
