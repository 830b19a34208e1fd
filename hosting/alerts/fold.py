"""Many machines of a site or of a rack in the same trouble are one alert: theirs hang below it and nobody is told of each.

When it is over, those that are still in trouble stand for themselves again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import Cursor

# So many machines at once are one alert; of a small site half of its machines, three at least. It ends below half of that.
FOLD_AT = 20
FOLD_AT_LEAST = 3
RACKS_NAMED = 3


def folds_at(watched: int) -> int:
    """From how many machines in the same trouble on a site with so many machines becomes one alert."""
    return min(FOLD_AT, max(FOLD_AT_LEAST, (watched + 1) // 2))


def unfolds_below(watched: int) -> int:
    return max(2, folds_at(watched) // 2)


# Machines in trouble by site and kind. Those that somebody has taken on stay by themselves. Signals that are half way to an
# alert count: a site does not fail in one second, and its first twenty machines shall not make twenty mails.
GROUPS = """
SELECT g.site_id, g.kind, g.severity, sum(g.alerts)::int, sum(g.coming)::int, (array_agg(g.rule_id ORDER BY g.alerts DESC))[1],
    min(g.opened_at), max(g.seen_at), w.machines,
    (SELECT p.id FROM alerts p WHERE p.site_id = g.site_id AND p.kind = g.kind AND p.severity = g.severity
        AND p.miner_id IS NULL AND p.state <> 'resolved')
FROM (
    SELECT a.site_id, a.kind, a.severity, a.rule_id, count(*) AS alerts, 0 AS coming, min(a.opened_at) AS opened_at,
        max(s.observed_at) AS seen_at
    FROM alerts a JOIN alert_signals s ON s.alert_id = a.id WHERE a.state = 'open' AND a.miner_id IS NOT NULL
    GROUP BY a.site_id, a.kind, a.severity, a.rule_id
    UNION ALL
    SELECT site_id, kind, severity, rule_id, count(*), 0, min(since), max(observed_at) FROM alert_ripe
    GROUP BY site_id, kind, severity, rule_id
    UNION ALL
    SELECT b.site_id, r.kind, r.severity, s.rule_id, 0, count(*), NULL, NULL
    FROM alert_signals s JOIN alert_rules r ON r.id = s.rule_id JOIN alert_base b ON b.miner_id = s.miner_id
    WHERE s.alert_id IS NULL AND s.hits >= 2 AND s.observed_at - s.since >= make_interval(secs => r.minutes * 30)
        AND NOT EXISTS (SELECT FROM alert_ripe x WHERE x.rule_id = s.rule_id AND x.miner_id = s.miner_id)
    GROUP BY b.site_id, r.kind, r.severity, s.rule_id
    UNION ALL
    SELECT p.site_id, p.kind, p.severity, p.rule_id, 0, 0, NULL, NULL
    FROM alerts p WHERE p.miner_id IS NULL AND p.state <> 'resolved'
) g LEFT JOIN (SELECT site_id, count(*) AS machines FROM alert_base GROUP BY site_id) w USING (site_id)
GROUP BY g.site_id, g.kind, g.severity, w.machines
"""
# Of the group's machines: how many stand in which rack, and how many are watched there.
RACKS = """
SELECT b.name || ' / ' || r.name, count(DISTINCT t.miner_id)::int,
    (SELECT count(*) FROM alert_base x JOIN hosting_miners y ON y.id = x.miner_id WHERE y.rack_id = r.id)::int
FROM (
    SELECT miner_id FROM alerts WHERE state = 'open' AND miner_id IS NOT NULL
        AND site_id = %(site)s AND kind = %(kind)s AND severity = %(severity)s
    UNION ALL
    SELECT miner_id FROM alert_ripe WHERE site_id = %(site)s AND kind = %(kind)s AND severity = %(severity)s
) t JOIN hosting_miners m ON m.id = t.miner_id JOIN hosting_racks r ON r.id = m.rack_id
JOIN hosting_buildings b ON b.id = r.building_id
GROUP BY r.id, b.name, r.name ORDER BY 2 DESC, 1
"""
OPEN_PARENT = """
INSERT INTO alerts (rule_id, kind, severity, site_id, opened_at, last_seen_at, evidence, machines)
VALUES (%(rule)s, %(kind)s, %(severity)s, %(site)s, %(opened_at)s, %(seen_at)s, '', 0) RETURNING id
"""
FOLD = """
UPDATE alerts SET suppressed_by_id = %(parent)s
WHERE site_id = %(site)s AND kind = %(kind)s AND severity = %(severity)s AND state = 'open' AND miner_id IS NOT NULL
    AND suppressed_by_id IS NULL
"""
COUNT = """
UPDATE alerts SET machines = %(alerts)s, last_seen_at = GREATEST(last_seen_at, %(seen_at)s), evidence = %(evidence)s
WHERE id = %(parent)s
"""
END_PARENT = """
UPDATE alerts SET state = 'resolved', resolved_at = %(now)s, machines = 0
WHERE id = %(parent)s AND state IN ('open', 'acknowledged') RETURNING id
"""
UNFOLD = """
UPDATE alerts SET suppressed_by_id = NULL WHERE suppressed_by_id = %(parent)s AND site_id = %(site)s AND state <> 'resolved'
"""


def fold(cursor: "Cursor[Any]", now: datetime) -> list[int]:
    """Open, fill and end the alerts of whole sites; returns those that ended."""
    cursor.execute(GROUPS)
    ended: list[int] = []
    for group in cursor.fetchall():
        ended += _fold_group(cursor, now, group)
    return ended


def _fold_group(cursor: "Cursor[Any]", now: datetime, group: Sequence[Any]) -> list[int]:
    site, kind, severity, alerts, coming, rule, opened_at, seen_at, watched, parent = group
    values = {"site": site, "kind": kind, "severity": severity, "rule": rule, "now": now, "alerts": alerts}
    watched = watched or 0
    racks = _racks(cursor, values) if alerts >= FOLD_AT_LEAST else []
    if parent is None:
        many = alerts + coming >= folds_at(watched) or any(bad >= folds_at(all_of_it) for _, bad, all_of_it in racks)
        if not alerts or not many:
            return []
        cursor.execute(OPEN_PARENT, values | {"opened_at": opened_at, "seen_at": seen_at})
        ((parent,),) = cursor.fetchall()
    values["parent"] = parent
    still = any(bad >= unfolds_below(all_of_it) for _, bad, all_of_it in racks)
    if alerts + coming < unfolds_below(watched) and not still:
        cursor.execute(END_PARENT, values)
        ended = [alert_id for (alert_id,) in cursor.fetchall()]
        cursor.execute(UNFOLD, values)
        return ended
    cursor.execute(FOLD, values)
    cursor.execute(COUNT, values | {"evidence": evidence_of(alerts, watched, racks), "seen_at": seen_at})
    return []


def _racks(cursor: "Cursor[Any]", values: dict[str, Any]) -> list[tuple[str, int, int]]:
    cursor.execute(RACKS, values)
    return cursor.fetchall()


def evidence_of(alerts: int, watched: int, racks: Sequence[tuple[str, int, int]]) -> str:
    """How many of the site's machines; where a few racks explain it, which."""
    whole = [(name, bad, all_of_it) for name, bad, all_of_it in racks if bad >= folds_at(all_of_it)]
    elsewhere = alerts - sum(bad for _, bad, _ in whole)
    text = f"{alerts} of {watched} machines"
    if not whole or len(whole) > RACKS_NAMED:
        return text
    named = [f"{bad} of {all_of_it} in rack {name}" for name, bad, all_of_it in whole]
    return f"{text}: {', '.join(named)}{f', {elsewhere} elsewhere' if elsewhere > 0 else ''}"
