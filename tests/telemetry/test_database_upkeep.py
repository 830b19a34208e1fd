"""What the database is told to do by itself, and the report on it."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from hosting.upkeep import examine_database
from minefarm.lib.clock import database_now
from tests.telemetry.synthetic import fill

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("table", "parameter"),
    [
        ("miner_latest", "fillfactor=50"),
        ("miner_latest", "autovacuum_vacuum_cost_delay=0"),
        ("site_telemetry_5min", "fillfactor=80"),
        ("miner_telemetry_hour", "autovacuum_vacuum_insert_scale_factor=0.05"),
        ("telemetry_sweeps", "autovacuum_analyze_scale_factor=0.02"),
    ],
)
def test_tables_are_vacuumed_as_they_are_used(table, parameter):
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [table])
        assert parameter in cursor.fetchone()[0]


def test_a_day_is_made_with_its_own_vacuum_settings(miner_a):
    fill([miner_a], datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 6, 1, 1, tzinfo=UTC))
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'miner_telemetry_20250601'")
        assert "autovacuum_vacuum_insert_scale_factor=0.5" in cursor.fetchone()[0]


def test_the_report_says_how_long_the_disk_lasts(miner_a):
    today = database_now().astimezone(UTC)
    fill([miner_a], today - timedelta(days=3), today)
    report = examine_database(today=today.date())
    assert report.oldest_partition == (today - timedelta(days=3)).date().isoformat()
    days = next(table for table in report.tables if table["table"] == "miner_telemetry (days)")
    assert days["bytes"] > report.bytes_per_day > 50_000
    assert report.disk_days_left == report.disk_free_bytes // report.bytes_per_day
    assert report.warnings == []


def test_an_empty_farm_has_a_report_too():
    long_ago = date(2020, 1, 1)  # other tests with real transactions leave their days behind
    report = examine_database(today=long_ago)
    assert (report.bytes_per_day, report.disk_days_left) == (0, None)


def test_doctor_prints_the_report(capsys):
    call_command("doctor", "--database", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["size_bytes"] > 1_000_000
    call_command("doctor", "--database")
    assert "disk free" in capsys.readouterr().out
