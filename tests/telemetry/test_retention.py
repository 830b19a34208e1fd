"""Retention: what goes, what must stay, and that it says why."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from hosting.models import (
    MinerHour,
    OperationLog,
    RetentionHold,
    RetiredDay,
    Telemetry,
    TelemetrySweep,
)
from hosting.retention import apply_retention, why_the_clock_is_doubted
from hosting.telemetry import retire
from hosting.telemetry.partitions import partition_days, partition_name
from hosting.telemetry.retire import retire_days
from hosting.telemetry.rollups import roll_up
from minefarm.lib.clock import database_now
from minefarm.lib.retention import Applied, Hold, Order, Outcome, Rule, apply_rules, register, rules
from tests.farm import database_url, run_manage
from tests.telemetry.synthetic import fill

pytestmark = pytest.mark.django_db

TABLES = {"miner_telemetry", "miner_operation_log", "telemetry_sweeps", "site_telemetry_5min", "client_telemetry_5min"}


@pytest.fixture
def now() -> datetime:
    return database_now()


@pytest.fixture
def today(now) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def reading_farm(miner_a, now):
    """A farm that has been read every hour for the last week, until a minute ago."""
    fill([miner_a], now - timedelta(days=7), now, every="1 hour")
    fill([miner_a], now - timedelta(minutes=3), now)
    return miner_a


@pytest.fixture
def old_days(reading_farm, today):
    """Three days beyond the 90, in the ledger."""
    start = today - timedelta(days=95)
    fill([reading_farm], start, start + timedelta(days=3), every="10 minutes")
    roll_up(start, start + timedelta(days=3))
    return [(start + timedelta(days=offset)).date() for offset in range(3)]


def told(applied: list[Applied], table: str = "miner_telemetry") -> Outcome:
    return next(one.outcome for one in applied if one.table == table)


def tables() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")
        return {row[0] for row in cursor.fetchall()}


def test_every_table_has_one_rule_and_its_setting(settings):
    assert {rule.table for rule in rules()} >= TABLES
    keep = {rule.table: rule.keep_days() for rule in rules()}
    assert (keep["miner_telemetry"], keep["miner_operation_log"]) == (90, 365)
    assert (keep["login_records"], keep["outbox_events"]) == (365, 30)
    settings.RETENTION_TELEMETRY_DAYS = 30
    assert {rule.table: rule.keep_days() for rule in rules()}["miner_telemetry"] == 30


def test_three_days_are_due_and_two_go(old_days):
    outcome = told(apply_retention())
    assert (outcome.rows, partition_days()[0]) == (288, old_days[2])
    assert outcome.size_bytes > 0
    assert list(RetiredDay.objects.values_list("day", "readings").order_by("day")) == [
        (day, 144) for day in old_days[:2]
    ]
    assert "3 days are due: 2 go at a time" in outcome.notes
    assert MinerHour.objects.filter(starts_at__lt=database_now() - timedelta(days=90)).count() >= 72


def test_a_day_is_detached_first_and_dropped_a_day_later(old_days, now):
    apply_retention()
    assert partition_name(old_days[0]) in tables()
    before = now - timedelta(days=90)
    retire_days(Order(now + timedelta(hours=23), before, dry_run=False))
    assert partition_name(old_days[0]) in tables()
    retire_days(Order(now + timedelta(hours=25), before, dry_run=False))
    assert tables().isdisjoint(map(partition_name, old_days[:2]))
    assert RetiredDay.objects.filter(dropped_at__isnull=False).count() == 2


def test_a_dry_run_counts_and_deletes_nothing(old_days):
    before = partition_days(), tables(), OperationLog.objects.count()
    outcome = told(apply_retention(dry_run=True))
    assert (outcome.rows, outcome.size_bytes > 0) == (288, True)
    assert (partition_days(), tables(), OperationLog.objects.count()) == before
    assert RetiredDay.objects.count() == 0


def test_a_day_that_the_ledger_lacks_is_computed_first(reading_farm, today):
    start = today - timedelta(days=95)
    fill([reading_farm], start, start + timedelta(days=1), every="10 minutes")
    assert told(apply_retention()).rows == 144
    assert (
        sum(MinerHour.objects.filter(starts_at__lt=start + timedelta(days=2)).values_list("samples", flat=True)) == 144
    )


def test_a_missing_rollup_stops_the_day_and_all_after_it(old_days, now):
    # Its readings are of a day that counts as final, so that nothing can compute it any more.
    RetiredDay.objects.create(day=old_days[0], readings=0, size_bytes=0, detached_at=now, dropped_at=now)
    MinerHour.objects.filter(starts_at__date=old_days[0], starts_at__hour=5).delete()
    outcome = told(apply_retention())
    assert outcome.rows == 0
    assert (
        f"{old_days[0]} stays: 6 readings in 1 machine-hours from 05:00 UTC are not in the ledger" in outcome.notes[0]
    )
    assert set(old_days) <= set(partition_days())


def test_a_hold_keeps_its_day_until_it_is_released(old_days, today, now):
    start = today - timedelta(days=95)
    hold = RetentionHold.objects.create(
        table="miner_telemetry", starts_at=start, ends_at=start + timedelta(hours=1), reason="dispute of March"
    )
    outcome = told(apply_retention())
    assert (outcome.rows, outcome.notes[0]) == (0, f"{old_days[0]} stays: held: dispute of March")
    hold.released_at = now
    hold.save()
    assert told(apply_retention()).rows == 288


def test_a_hold_comes_in_time_for_a_detached_day(old_days, now):
    apply_retention()
    order = Order(now + timedelta(days=2), now - timedelta(days=90), dry_run=False)
    held = Hold("*", now - timedelta(days=400), now, "audit")
    retire_days(Order(order.now, order.before, dry_run=False, holds=(held,)))
    assert partition_name(old_days[0]) in tables()


def test_a_clock_100_days_ahead_deletes_nothing(miner_a, now):
    """As the database sees it: its readings end 100 days ago."""
    then = now - timedelta(days=100)
    fill([miner_a], then - timedelta(days=7), then, every="1 hour")
    OperationLog.objects.create(miner=miner_a, operation="start", timestamp=now - timedelta(days=400))
    before = partition_days()
    for applied in apply_retention():
        assert applied.outcome.rows == 0
        assert applied.outcome.notes == ("no reading in seven days: start the collector, or the clock has jumped",)
    assert partition_days() == before
    assert OperationLog.objects.count() == 1


def test_a_clock_that_jumps_while_sweeps_go_on_deletes_nothing(miner_a, now):
    then = now - timedelta(days=100)
    fill([miner_a], then - timedelta(days=7), then, every="1 hour")
    fill([miner_a], now - timedelta(hours=2), now)
    assert "readings on only" in told(apply_retention()).notes[0]
    assert partition_days()[0] == (then - timedelta(days=7)).astimezone(UTC).date()


def test_a_clock_apart_from_this_hosts_is_doubted(reading_farm, now):
    assert why_the_clock_is_doubted(now) is None
    assert "set both by NTP" in why_the_clock_is_doubted(now + timedelta(days=100))


def test_readings_of_tomorrow_and_of_two_hours_ago_are_doubted(reading_farm, now):
    TelemetrySweep.objects.filter(minute__gt=now - timedelta(hours=2)).delete()
    assert "start the collector" in why_the_clock_is_doubted(now)
    fill([reading_farm], now + timedelta(hours=1), now + timedelta(hours=1, minutes=2))
    assert "yet to come" in why_the_clock_is_doubted(now)


def test_old_log_lines_go_and_younger_ones_stay(reading_farm, now):
    for days in (364, 366, 400):
        OperationLog.objects.create(miner=reading_farm, operation=f"{days}", timestamp=now - timedelta(days=days))
    assert told(apply_retention(dry_run=True), "miner_operation_log").rows == 2
    assert told(apply_retention(), "miner_operation_log").rows == 2
    assert list(OperationLog.objects.values_list("operation", flat=True)) == ["364"]


def test_zero_keeps_for_ever_and_less_is_refused(reading_farm, now, settings):
    OperationLog.objects.create(miner=reading_farm, operation="old", timestamp=now - timedelta(days=9000))
    for days, said in ((0, "kept for ever"), (-1, "no time")):
        settings.RETENTION_OPERATION_LOG_DAYS = days
        outcome = told(apply_retention(), "miner_operation_log")
        assert (outcome.rows, said in outcome.notes[0]) == (0, True)
    assert OperationLog.objects.count() == 1


def test_another_app_adds_a_table(now):
    asked = []
    register(Rule("of_another_app", lambda: 7, lambda order: asked.append(order) or Outcome(rows=3)))
    try:
        applied = apply_rules(now, dry_run=True)
    finally:
        from minefarm.lib import retention

        del retention._rules["of_another_app"]
    assert told(applied, "of_another_app").rows == 3
    assert (asked[0].before, asked[0].dry_run) == (now - timedelta(days=7), True)


def test_the_command_prints_rows_and_bytes_per_table(old_days, capsys):
    call_command("apply_retention", "--dry-run", "--json")
    document = json.loads(capsys.readouterr().out)
    found = {table["table"]: table for table in document["tables"]}
    assert (document["dry_run"], set(found) >= TABLES) == (True, True)
    assert (found["miner_telemetry"]["rows"], found["miner_telemetry"]["keep_days"]) == (288, 90)
    call_command("apply_retention", "--dry-run")
    assert "288 rows" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_a_day_goes_beside_readers_and_writers_by_the_command(miner_a, today, now):
    fill([miner_a], now - timedelta(days=7), now, every="1 hour")
    fill([miner_a], now - timedelta(minutes=3), now)
    day = today - timedelta(days=91)
    fill([miner_a], day, day + timedelta(hours=2))
    try:
        done = run_manage("apply_retention", "--json", DATABASE_URL=database_url())
        assert done.returncode == 0, done.stderr
        found = {table["table"]: table for table in json.loads(done.stdout)["tables"]}
        assert found["miner_telemetry"]["rows"] == 120
        assert day.date() not in partition_days()
        assert Telemetry.objects.filter(recorded_at__lt=day + timedelta(days=1)).count() == 0
    finally:
        drop_all_days()


@pytest.mark.django_db(transaction=True)
def test_a_day_that_a_backup_is_reading_waits_for_the_next_run(miner_a, today, now, monkeypatch):
    monkeypatch.setattr(retire, "LOCK_TIMEOUT_S", 1)
    fill([miner_a], now - timedelta(days=7), now, every="1 hour")
    fill([miner_a], now - timedelta(minutes=3), now)
    day = today - timedelta(days=91)
    fill([miner_a], day, day + timedelta(hours=2))
    try:
        with psycopg.connect(database_url()) as backup:
            backup.execute("SELECT count(*) FROM miner_telemetry")
            outcome = told(apply_retention())
            assert (outcome.rows, "a backup perhaps" in outcome.notes[0]) == (0, True)
        assert told(apply_retention()).rows == 120
        assert day.date() not in partition_days()
    finally:
        drop_all_days()


def test_a_hold_is_placed_in_the_admin_and_a_misspelt_one_is_refused(client, owner, operator):
    form = {
        "table": "miner_telemetri",
        "starts_at_0": "2026-01-01",
        "starts_at_1": "00:00",
        "ends_at_0": "2026-02-01",
        "ends_at_1": "00:00",
        "reason": "audit",
    }
    client.force_login(owner)
    url = reverse("admin:hosting_retentionhold_add")
    assert b"Retention knows no such table" in client.post(url, form).content
    assert client.post(url, form | {"table": "miner_telemetry"}).status_code == 302
    hold = RetentionHold.objects.get()
    assert (hold.table, hold.placed_by, hold.released_at) == ("miner_telemetry", owner, None)
    client.force_login(operator)
    assert client.post(url, form | {"table": "*"}).status_code == 403


def drop_all_days() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^miner_telemetry_[0-9]{8}$'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")
