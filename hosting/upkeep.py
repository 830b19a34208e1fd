"""What a database administrator asks of the farm's database: sizes, bloat, unused indexes, how long the disk lasts."""

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection, transaction

from hosting.telemetry.partitions import PARENT, partition_days

SHOWN = 15
UNUSED_AT_LEAST_BYTES = 1024 * 1024

# Day partitions count as one table. Dead rows come from PostgreSQL's own counters: an estimate, and cheap.
TABLES = """
SELECT CASE WHEN c.relname ~ '^miner_telemetry_[0-9]{8}$' THEN 'miner_telemetry (days)' ELSE c.relname END AS "table",
    sum(pg_total_relation_size(c.oid))::bigint AS bytes, sum(pg_indexes_size(c.oid))::bigint AS index_bytes,
    sum(COALESCE(s.n_live_tup, 0))::bigint AS rows, sum(COALESCE(s.n_dead_tup, 0))::bigint AS dead_rows,
    COALESCE(sum(pg_relation_size(c.oid) * s.n_dead_tup / NULLIF(s.n_live_tup + s.n_dead_tup, 0)), 0)::bigint
        AS bloat_bytes,
    max(GREATEST(s.last_vacuum, s.last_autovacuum)) AS vacuumed_at,
    max(GREATEST(s.last_analyze, s.last_autoanalyze)) AS analyzed_at
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind = 'r'
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s
"""
# A constraint's index works without ever being scanned, and a closed day's may simply wait for a question.
UNUSED = """
SELECT i.relname AS "table", i.indexrelname AS index, pg_relation_size(i.indexrelid) AS bytes
FROM pg_stat_user_indexes i JOIN pg_index x ON x.indexrelid = i.indexrelid
WHERE i.idx_scan = 0 AND NOT x.indisunique AND NOT x.indisexclusion AND i.relname !~ '^miner_telemetry_[0-9]{8}$'
    AND pg_relation_size(i.indexrelid) >= %s
ORDER BY 3 DESC LIMIT 15
"""
# What the last week's days took, and the ledger's rows beside them: the farm's growth for as long as nothing is retired.
GROWTH = """
SELECT COALESCE(avg(pg_total_relation_size(c.oid)) FILTER (WHERE c.relname < %(today)s AND c.relname >= %(week)s), 0)::bigint
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %(parent)s::regclass
"""


@dataclass(frozen=True)
class DatabaseReport:
    """Bytes and rows; None where this account or host cannot know."""

    size_bytes: int
    tables: list[dict[str, Any]]
    unused_indexes: list[dict[str, Any]]
    partitions: int
    oldest_partition: str | None
    newest_partition: str | None
    bytes_per_day: int
    disk_free_bytes: int | None
    disk_days_left: int | None

    @property
    def warnings(self) -> list[str]:
        found = []
        if self.disk_days_left is not None and self.disk_days_left < 14:
            found.append(
                f"The disk is full in about {self.disk_days_left} days: lower RETENTION_TELEMETRY_DAYS or add space."
            )
        found += [
            f"Half of {table['table']} is dead rows: look for a long transaction, then VACUUM it."
            for table in self.tables
            if table["bloat_bytes"] > max(100_000_000, table["bytes"] // 2)
        ]
        return found


def examine_database(*, today: date) -> DatabaseReport:
    """Look, change nothing. The disk is that of PostgreSQL's data when it is on this host and we may read where."""
    days = partition_days()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    growth = _growth(today)
    free = _disk_free()
    return DatabaseReport(
        size_bytes=size,
        tables=_dicts(TABLES, [SHOWN]),
        unused_indexes=_dicts(UNUSED, [UNUSED_AT_LEAST_BYTES]),
        partitions=len(days),
        oldest_partition=days[0].isoformat() if days else None,
        newest_partition=days[-1].isoformat() if days else None,
        bytes_per_day=growth,
        disk_free_bytes=free,
        disk_days_left=free // growth if free is not None and growth else None,
    )


def _growth(today: date) -> int:
    week = today - timedelta(days=7)
    values = {"parent": PARENT, "today": f"{PARENT}_{today:%Y%m%d}", "week": f"{PARENT}_{week:%Y%m%d}"}
    with connection.cursor() as cursor:
        cursor.execute(GROWTH, values)
        return int(cursor.fetchone()[0])


def _disk_free() -> int | None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('data_directory')")  # superusers and pg_read_all_settings only
            (directory,) = cursor.fetchone()
    except DatabaseError:
        return None
    return shutil.disk_usage(directory).free if directory and Path(directory).is_dir() else None


def _dicts(sql: str, parameters: list[Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
