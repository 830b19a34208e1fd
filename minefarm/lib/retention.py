"""How long rows are kept: one registry that every app adds its tables to.

    register(Rule("miner_operation_log", lambda: settings.RETENTION_OPERATION_LOG_DAYS, forget_operation_log))

A rule counts what is due and, unless told to look only, deletes it. The guards that hold for all (is the clock sane, is there a
hold) are asked by whoever runs the rules and handed in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

BATCH = 10_000


@dataclass(frozen=True)
class Hold:
    """Rows of [starts_at, ends_at) must stay."""

    table: str
    starts_at: datetime
    ends_at: datetime
    reason: str

    def covers(self, table: str, starts_at: datetime | None, ends_at: datetime) -> bool:
        """Whether any row of the range is held; None means since ever."""
        return (
            self.table in {table, "*"} and self.starts_at < ends_at and (starts_at is None or starts_at < self.ends_at)
        )


@dataclass(frozen=True)
class Order:
    """What a rule is asked to do: rows older than `before` may go."""

    now: datetime
    before: datetime
    dry_run: bool
    holds: tuple[Hold, ...] = ()

    def held(self, table: str, starts_at: datetime | None, ends_at: datetime) -> Hold | None:
        return next((hold for hold in self.holds if hold.covers(table, starts_at, ends_at)), None)


@dataclass(frozen=True)
class Outcome:
    """What a rule did, or with a dry run would do. `size_bytes` of rows is an estimate from the table's mean."""

    rows: int = 0
    size_bytes: int = 0
    notes: tuple[str, ...] = ()  # why something due was kept, and what the next run will do


@dataclass(frozen=True)
class Rule:
    """`keep_days` is read at each run; 0 keeps rows for ever."""

    table: str
    keep_days: Callable[[], int]
    apply: Callable[[Order], Outcome]


@dataclass(frozen=True)
class Applied:
    table: str
    keep_days: int
    before: datetime | None
    outcome: Outcome


_rules: dict[str, Rule] = {}


def register(rule: Rule) -> None:
    """Add a rule, or replace the one of the same table."""
    _rules[rule.table] = rule


def rules() -> list[Rule]:
    return [_rules[table] for table in sorted(_rules)]


def apply_rules(
    now: datetime, *, dry_run: bool, refusal: str | None = None, holds: Iterable[Hold] = ()
) -> list[Applied]:
    """Apply every rule; with a `refusal` none of them, and each says why."""
    held = tuple(holds)
    return [_apply(rule, now, dry_run, refusal, held) for rule in rules()]


def _apply(rule: Rule, now: datetime, dry_run: bool, refusal: str | None, holds: tuple[Hold, ...]) -> Applied:
    days = rule.keep_days()
    if days < 0:
        return Applied(rule.table, days, None, Outcome(notes=(f"{days} days is no time: set 0 to keep for ever.",)))
    if days == 0:
        return Applied(rule.table, days, None, Outcome(notes=("kept for ever",)))
    before = now - timedelta(days=days)
    if refusal:
        return Applied(rule.table, days, before, Outcome(notes=(refusal,)))
    return Applied(rule.table, days, before, rule.apply(Order(now, before, dry_run, holds)))


def forget_rows(order: Order, table: str, column: str, *, only: str = "true") -> Outcome:
    """Delete rows whose `column` is before the order's moment, in batches, each its own transaction.

    `table`, `column` and `only` (a condition) are the caller's own words, never input.
    """
    oldest = _value(f"SELECT min({column}) FROM {table} WHERE {only}")  # noqa: S608
    if oldest is None or oldest >= order.before:
        return Outcome()
    if hold := order.held(table, oldest, order.before):
        return Outcome(notes=(f"held: {hold.reason}",))
    due = f"FROM {table} WHERE {column} < %s AND ({only})"
    rows = _value(f"SELECT count(*) {due}", order.before)
    size = round(rows * mean_row_bytes(table))
    if not order.dry_run:
        rows = 0
        while deleted := _delete(f"DELETE FROM {table} WHERE ctid IN (SELECT ctid {due} LIMIT {BATCH})", order.before):  # noqa: S608
            rows += deleted
    return Outcome(rows, size)


def _value(sql: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def _delete(sql: str, before: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [before])
        return int(cursor.rowcount)


def mean_row_bytes(table: str) -> float:
    """Size of the table with its indexes and TOAST by its rows, as last analysed; 0 before."""
    # reltuples is -1 before the first ANALYZE.
    sql = (
        "SELECT pg_total_relation_size(c.oid)::float8 / GREATEST(NULLIF(c.reltuples, -1), 1) FROM pg_class c"
        " WHERE c.oid = %s::regclass AND c.reltuples > 0"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [table])
        row = cursor.fetchone()
    return float(row[0]) if row else 0.0
