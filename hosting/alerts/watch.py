"""The evaluation: every machine's latest reading against the rules, in SQL over the whole fleet, once a minute.

A site whose collector is silent is left as it was, and time without sweeps counts towards nothing: our own gap is no machine's
fault. Each machine counts once per reading, so running twice changes nothing.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from django.db import connection, transaction
from psycopg import Cursor

from hosting.alerts import fold, tell
from hosting.alerts.conditions import CONDITIONS, DEFAULT_LOW_PERCENT
from hosting.catalogue import CATALOGUE, find_model
from hosting.models import MinerIdentity
from minefarm.lib.clock import database_now

HITS_TO_OPEN, MISSES_TO_CLOSE = 2, 3
DETAILS_FRESH_FOR = "15 minutes"
BLIND_AFTER = "3 minutes"  # without a sweep of the site; also the hole between two sweeps after which time starts again


@dataclass(frozen=True, slots=True)
class Watched:
    """What one evaluation did; `opened` and `resolved` count alerts that were told, not those folded under another."""

    machines: int
    troubled: int
    opened: int
    resolved: int


# Details that were read long ago say nothing of now.
DETAILS = f"""
    CASE WHEN l.details_at > l.attempted_at - interval '{DETAILS_FRESH_FOR}' THEN l.details_at END AS details_at,
    l.boards, l.board_temperature_c, l.pool_url, l.pool_worker"""
# "DROP IF EXISTS" is quiet in production: there the tables ended with the transaction before.
BASE = f"""
SET LOCAL client_min_messages = warning;
SET LOCAL enable_nestloop = off;
DROP TABLE IF EXISTS alert_base, alert_fit, alert_bad, alert_ripe;
CREATE TEMPORARY TABLE alert_base ON COMMIT DROP AS
WITH sweeps AS (
    SELECT site_id, minute, minute - lag(minute) OVER (PARTITION BY site_id ORDER BY minute) AS hole
    FROM telemetry_sweeps WHERE minute > %(now)s - interval '1 day' AND minute <= %(now)s
), swept AS (
    SELECT site_id, COALESCE(max(minute) FILTER (WHERE hole > interval '{BLIND_AFTER}'), min(minute)) AS steady_since
    FROM sweeps GROUP BY site_id HAVING max(minute) > %(now)s - interval '{BLIND_AFTER}'
), other AS (
    SELECT * FROM unnest(%(reported)s::text[], %(meant)s::text[]) AS known (reported, meant)
)
SELECT m.id AS miner_id, m.site_id, COALESCE(m.miner_model_id, 0) AS model_id, m.status,
    CASE WHEN l.attempted_at >= swept.steady_since THEN l.attempted_at END AS observed_at, swept.steady_since,
    l.error IS NULL AS reached, l.error, l.seen_at, l.hashrate_ths, l.temperature_c, l.fan_rpm,
    COALESCE(m.nameplate_ths, k.hashrate) AS expected_ths, k.name AS model_name,
    COALESCE(k.warn_chip_c, 85) AS warn_chip_c, COALESCE(k.critical_chip_c, 95) AS critical_chip_c,
    COALESCE(k.warn_board_c, 75) AS warn_board_c, COALESCE(k.critical_board_c, 85) AS critical_board_c,
    k.boards AS model_boards, {DETAILS},
    COALESCE(i.mismatch, CASE WHEN other.meant <> k.name AND k.name = ANY(%(catalogue)s) THEN i.model END) AS other_model
FROM hosting_miners m
JOIN miner_latest l ON l.miner_id = m.id
LEFT JOIN swept ON swept.site_id = m.site_id
LEFT JOIN miner_models k ON k.id = m.miner_model_id
LEFT JOIN miner_identity i ON i.miner_id = m.id
LEFT JOIN other ON other.reported = i.model
WHERE m.cgminer_enabled AND m.cgminer_ip IS NOT NULL AND m.site_id IS NOT NULL AND m.status <> 'maintenance'
    AND NOT EXISTS (
        SELECT FROM maintenance_windows w WHERE w.site_id = m.site_id AND w.starts_at <= %(now)s AND w.ends_at > %(now)s
            AND (NOT EXISTS (SELECT FROM maintenance_window_miners c WHERE c.maintenancewindow_id = w.id)
                OR EXISTS (SELECT FROM maintenance_window_miners c
                    WHERE c.maintenancewindow_id = w.id AND c.miner_id = m.id)))
"""
# The closest rule of each kind and severity, for each site and model that there is; switched-off ones hide wider ones.
FIT = """
CREATE TEMPORARY TABLE alert_fit ON COMMIT DROP AS
SELECT * FROM (
    SELECT DISTINCT ON (g.site_id, g.model_id, r.kind, r.severity)
        g.site_id, g.model_id, r.id AS rule_id, r.kind, r.severity, r.threshold, r.expected, r.enabled
    FROM (SELECT DISTINCT site_id, model_id FROM alert_base) g
    JOIN alert_rules r ON (r.site_id IS NULL OR r.site_id = g.site_id)
        AND (r.miner_model_id IS NULL OR r.miner_model_id = g.model_id)
    ORDER BY g.site_id, g.model_id, r.kind, r.severity,
        (r.miner_model_id IS NOT NULL)::int * 2 + (r.site_id IS NOT NULL)::int DESC
) closest WHERE enabled
"""
BAD_OF_KIND = """
SELECT b.miner_id, {observed} AS observed_at, b.steady_since, f.rule_id, f.kind, f.severity, {evidence} AS evidence
FROM alert_base b JOIN alert_fit f USING (site_id, model_id)
WHERE f.kind = '{kind}' AND b.observed_at IS NOT NULL AND {bad}
"""
# Of one kind only the gravest severity of a machine counts.
BAD = f"""
CREATE TEMPORARY TABLE alert_bad ON COMMIT DROP AS
SELECT DISTINCT ON (miner_id, kind) * FROM ({" UNION ALL ".join(BAD_OF_KIND.format(**asdict(each)) for each in CONDITIONS)}) found
ORDER BY miner_id, kind, array_position(ARRAY['critical', 'warning', 'info'], severity)
"""
# A signal from before a hole in the sweeps starts again, unless it is an alert already.
HITS = """
MERGE INTO alert_signals s USING alert_bad b ON s.rule_id = b.rule_id AND s.miner_id = b.miner_id
WHEN MATCHED AND b.observed_at > s.observed_at AND (s.alert_id IS NOT NULL OR s.observed_at >= b.steady_since) THEN
    UPDATE SET hits = LEAST(s.hits + 1, 30000), misses = 0, observed_at = b.observed_at, evidence = b.evidence
WHEN MATCHED AND b.observed_at > s.observed_at THEN
    UPDATE SET hits = 1, misses = 0, since = b.observed_at, observed_at = b.observed_at, evidence = b.evidence
WHEN NOT MATCHED THEN
    INSERT (rule_id, miner_id, since, observed_at, hits, misses, evidence)
    VALUES (b.rule_id, b.miner_id, b.observed_at, b.observed_at, 1, 0, b.evidence)
"""
MISSES = """
UPDATE alert_signals s SET hits = 0, misses = s.misses + 1, observed_at = b.observed_at
FROM alert_base b JOIN alert_fit f USING (site_id, model_id)
WHERE s.miner_id = b.miner_id AND s.rule_id = f.rule_id AND b.observed_at > s.observed_at AND (b.reached OR f.kind = 'offline')
    AND NOT EXISTS (SELECT FROM alert_bad x WHERE x.miner_id = s.miner_id AND x.rule_id = s.rule_id)
"""
# Good for long enough, or no longer watched by this rule: in maintenance, moved, reading or rule switched off.
OVER = f"""
WITH over AS (
    DELETE FROM alert_signals s
    WHERE s.misses >= {MISSES_TO_CLOSE} OR NOT EXISTS (
        SELECT FROM alert_base b JOIN alert_fit f USING (site_id, model_id)
        WHERE b.miner_id = s.miner_id AND f.rule_id = s.rule_id)
    RETURNING alert_id, observed_at
)
UPDATE alerts a SET state = 'resolved', resolved_at = %(now)s, machines = 0,
    last_seen_at = GREATEST(a.last_seen_at, LEAST(over.observed_at, %(now)s))
FROM over WHERE a.id = over.alert_id AND a.state IN ('open', 'acknowledged')
RETURNING a.id
"""
# Long enough and twice in a row. A low hashrate must also be low on the whole: single readings of some makes jump about.
RIPE = f"""
CREATE TEMPORARY TABLE alert_ripe ON COMMIT DROP AS
WITH ripe AS MATERIALIZED (
    SELECT s.rule_id, s.miner_id, s.since, s.observed_at, s.evidence, r.kind, r.severity, b.site_id,
        s.observed_at - make_interval(mins => r.minutes) AS window_start,
        b.expected_ths * COALESCE(r.threshold, {DEFAULT_LOW_PERCENT}) / 100 AS low_ths
    FROM alert_signals s JOIN alert_rules r ON r.id = s.rule_id JOIN alert_base b ON b.miner_id = s.miner_id
    WHERE s.alert_id IS NULL AND s.hits >= {HITS_TO_OPEN} AND s.observed_at - s.since >= make_interval(mins => r.minutes)
), low AS MATERIALIZED (
    SELECT c.rule_id, c.miner_id FROM ripe c
    JOIN miner_telemetry t ON t.miner_id = c.miner_id AND t.recorded_at > c.window_start
    WHERE c.kind = 'low_hashrate' AND t.recorded_at > %(now)s - interval '1 day'
        AND t.recorded_at > (SELECT min(window_start) FROM ripe WHERE kind = 'low_hashrate')
    GROUP BY c.rule_id, c.miner_id, c.low_ths HAVING avg(t.hashrate) < c.low_ths
)
SELECT rule_id, miner_id, kind, severity, site_id, since, observed_at, evidence FROM ripe
WHERE kind <> 'low_hashrate' OR (rule_id, miner_id) IN (SELECT rule_id, miner_id FROM low)
"""
# Below the alert of the whole site, where there is one.
OPEN = """
WITH opened AS (
    INSERT INTO alerts (rule_id, kind, severity, site_id, miner_id, opened_at, last_seen_at, evidence, suppressed_by_id)
    SELECT r.rule_id, r.kind, r.severity, r.site_id, r.miner_id, r.since, r.observed_at, r.evidence, p.id
    FROM alert_ripe r LEFT JOIN alerts p ON p.miner_id IS NULL AND p.state <> 'resolved'
        AND p.site_id = r.site_id AND p.kind = r.kind AND p.severity = r.severity
    RETURNING id, rule_id, miner_id
)
UPDATE alert_signals s SET alert_id = opened.id FROM opened
WHERE s.rule_id = opened.rule_id AND s.miner_id = opened.miner_id
"""
REFRESH = """
UPDATE alerts a SET last_seen_at = s.observed_at, evidence = s.evidence FROM alert_signals s
WHERE s.alert_id = a.id AND s.misses = 0 AND a.suppressed_by_id IS NULL AND a.last_seen_at < s.observed_at
"""


def watch_fleet() -> Watched:
    """Evaluate once, in one transaction; evaluations wait for each other."""
    with connection.wrap_database_errors, transaction.atomic(), connection.cursor() as wrapper:
        cursor = cast("Cursor[Any]", wrapper.cursor)
        cursor.execute("LOCK TABLE alert_signals IN SHARE ROW EXCLUSIVE MODE")
        now = database_now()
        machines = _look(cursor, now)
        cursor.execute(HITS)
        cursor.execute(MISSES)
        cursor.execute(OVER, {"now": now})
        resolved = [alert_id for (alert_id,) in cursor.fetchall()]
        cursor.execute(RIPE, {"now": now})
        resolved += fold.fold(cursor, now)
        cursor.execute(OPEN)
        cursor.execute(REFRESH)
        opened = tell.tell_opened(now)
        over = tell.tell_resolved(resolved)
        cursor.execute("SELECT count(DISTINCT miner_id) FROM alert_bad")
        (troubled,) = cast("tuple[int]", cursor.fetchone())
    return Watched(machines, troubled, opened, over)


def _look(cursor: "Cursor[Any]", now: datetime) -> int:
    """Make the temporary tables; the number of machines that are watched."""
    models = {model for model in MinerIdentity.objects.values_list("model", flat=True).distinct() if model}
    meant = {model: spec.name for model in sorted(models) if (spec := find_model(model))}
    values = {
        "now": now,
        "reported": list(meant),
        "meant": list(meant.values()),
        "catalogue": [spec.name for spec in CATALOGUE],
    }
    for statement in BASE.split(";"):
        cursor.execute(statement, values if "%(" in statement else None)
    cursor.execute("ANALYZE alert_base")
    cursor.execute(FIT)
    cursor.execute(BAD)
    cursor.execute("ANALYZE alert_bad")
    cursor.execute("SELECT count(*) FROM alert_base")
    return cast("tuple[int]", cursor.fetchone())[0]
