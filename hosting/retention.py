"""Retention of the farm's records, and the guards under which any app's rows may be deleted.

The clock is trusted only when the database, this host and the readings agree on what day it is: a clock that jumps ahead must
not delete history.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from hosting.models import RetentionHold
from hosting.telemetry.retire import retire_days
from minefarm.lib.clock import database_now
from minefarm.lib.retention import Applied, Hold, Order, Outcome, Rule, apply_rules, forget_rows, register

MAX_SKEW = timedelta(minutes=5)
MAX_SILENCE = timedelta(hours=1)
STEADY_DAYS, STEADY_OF = 5, 7  # days with readings among the last seven, as soon as there are older ones


def forget_operation_log(order: Order) -> Outcome:
    return forget_rows(order, "miner_operation_log", "timestamp")


def forget_alerts(order: Order) -> Outcome:
    return forget_rows(order, "alerts", "resolved_at")


def forget_commands(order: Order) -> Outcome:
    return forget_rows(order, "miner_commands", "created_at", only="finished_at IS NOT NULL")


def forget_command_batches(order: Order) -> Outcome:
    """A day after their commands."""
    empty = "NOT EXISTS (SELECT FROM miner_commands c WHERE c.batch_id = miner_command_batches.id)"
    return forget_rows(order, "miner_command_batches", "created_at", only=empty)


def forget_sweeps(order: Order) -> Outcome:
    return forget_rows(order, "telemetry_sweeps", "minute")


def forget_five_minutes(order: Order) -> Outcome:
    return forget_rows(order, "site_telemetry_5min", "bucket")


def forget_client_five_minutes(order: Order) -> Outcome:
    return forget_rows(order, "client_telemetry_5min", "bucket")


def register_rules() -> None:
    """The specification's table of data growth, as far as it is hosting's, and the records that hosting added."""
    register(Rule("miner_telemetry", lambda: settings.RETENTION_TELEMETRY_DAYS, retire_days))
    register(Rule("miner_operation_log", lambda: settings.RETENTION_OPERATION_LOG_DAYS, forget_operation_log))
    register(Rule("alerts", lambda: settings.RETENTION_OPERATION_LOG_DAYS, forget_alerts))
    register(Rule("miner_commands", lambda: settings.RETENTION_OPERATION_LOG_DAYS, forget_commands))
    register(Rule("miner_command_batches", lambda: settings.RETENTION_OPERATION_LOG_DAYS, forget_command_batches))
    register(Rule("telemetry_sweeps", lambda: settings.RETENTION_SWEEPS_DAYS, forget_sweeps))
    register(Rule("site_telemetry_5min", lambda: settings.RETENTION_FIVE_MINUTES_DAYS, forget_five_minutes))
    register(Rule("client_telemetry_5min", lambda: settings.RETENTION_FIVE_MINUTES_DAYS, forget_client_five_minutes))


def apply_retention(*, dry_run: bool = False) -> list[Applied]:
    """Apply every app's rules under the guards; with `dry_run` only count."""
    now = database_now()
    return apply_rules(now, dry_run=dry_run, refusal=why_the_clock_is_doubted(now), holds=standing_holds())


def standing_holds() -> list[Hold]:
    return [
        Hold(hold.table, hold.starts_at, hold.ends_at, hold.reason)
        for hold in RetentionHold.objects.filter(released_at=None).order_by("pk")
    ]


def why_the_clock_is_doubted(now: datetime) -> str | None:
    """Why nothing may be deleted by the database's clock `now`; None when host and readings agree with it."""
    skew = abs(now - timezone.now())
    if skew > MAX_SKEW:
        return f"the database's clock is {skew.total_seconds():.0f} s off this host's: set both by NTP"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT max(minute) FROM telemetry_sweeps WHERE stored > 0 AND minute > %(now)s - interval '7 days'),"
            " (SELECT min(minute) FROM telemetry_sweeps),"
            " (SELECT count(DISTINCT date_trunc('day', minute, 'UTC')) FROM telemetry_sweeps"
            "  WHERE stored > 0 AND minute > %(now)s - interval '7 days')",
            {"now": now},
        )
        newest, oldest, days = cursor.fetchone()
    return _why_readings_doubt(now, newest, oldest, days)


def _why_readings_doubt(now: datetime, newest: datetime | None, oldest: datetime | None, days: int) -> str | None:
    if oldest is None:
        return None  # a farm that reads nothing has no readings to ask
    if newest is None:
        return "no reading in seven days: start the collector, or the clock has jumped"
    if newest > now + MAX_SKEW:
        return f"the newest reading is from {newest:%Y-%m-%d %H:%M} UTC, which is yet to come: the clock was set back"
    if now - newest > MAX_SILENCE:
        return f"the newest reading is from {newest:%Y-%m-%d %H:%M} UTC: start the collector, or the clock has jumped"
    if oldest < now - timedelta(days=STEADY_OF) and days < STEADY_DAYS:
        return (
            f"readings on only {days} of the last {STEADY_OF} days: the clock may have jumped; wait for {STEADY_DAYS}"
        )
    return None
