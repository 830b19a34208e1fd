from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection

from hosting.models import Telemetry
from hosting.telemetry.partitions import create_partition, index_closed_day, maintain_partitions, partition_days
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db


def index_names(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", [table])
        return {row[0] for row in cursor.fetchall()}


def test_partitions_are_made_ahead_and_a_second_run_makes_none():
    today = database_now().astimezone(UTC).date()
    first = maintain_partitions(days_ahead=7)
    assert {today + timedelta(days=offset) for offset in range(8)} <= set(partition_days())
    second = maintain_partitions(days_ahead=7)
    assert (second.created, second.indexed) == ([], [])
    assert second.existing == first.existing


def test_only_a_day_that_is_over_gets_the_index_by_machine():
    today = database_now().astimezone(UTC).date()
    past = today - timedelta(days=3)
    maintain_partitions(days_ahead=2)  # days that tests with real transactions left behind
    create_partition(past)
    done = maintain_partitions(days_ahead=2)
    assert done.indexed == [f"idx_telemetry_miner_time_{past:%Y%m%d}"]
    assert f"idx_telemetry_miner_time_{past:%Y%m%d}" in index_names(f"miner_telemetry_{past:%Y%m%d}")
    assert index_names(f"miner_telemetry_{today:%Y%m%d}") == {f"miner_telemetry_{today:%Y%m%d}_pkey"}
    assert index_closed_day(past) is False


def test_a_sweep_makes_the_partition_that_maintenance_did_not(site, miner_a):
    minute = datetime(2031, 5, 4, 23, 59, tzinfo=UTC)
    assert date(2031, 5, 4) not in partition_days()
    store_sweep(SweepFacts(site.pk, minute, {}, 0.0, 0.0), [Row(miner_a.pk, None, None, hashrate_centi_ths=100)])
    assert Telemetry.objects.get().recorded_at == minute
    assert date(2031, 5, 4) in partition_days()


def test_an_hour_is_looked_for_in_one_partition_only():
    for day in range(1, 6):
        create_partition(date(2031, 6, day))
    start = datetime(2031, 6, 3, 10, tzinfo=UTC)
    plan = Telemetry.objects.filter(recorded_at__gte=start, recorded_at__lt=start + timedelta(hours=1)).explain()
    assert "miner_telemetry_20310603" in plan
    assert [name for name in ("0601", "0602", "0604", "0605") if f"miner_telemetry_2031{name}" in plan] == []
