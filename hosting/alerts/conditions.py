"""When a machine is in trouble, as SQL over `alert_base` (b) and the rule that fits it best (f).

Each kind has a condition and its evidence; both read one row, of the machine's latest reading. What is NULL is no trouble.
A reading that failed tells of `offline` alone: what it would have shown is unknown.
"""

from dataclasses import dataclass

from hosting.alerts.kinds import AlertKind

DEFAULT_LOW_PERCENT = 75


@dataclass(frozen=True, slots=True)
class Condition:
    kind: AlertKind
    bad: str
    evidence: str


_LIMIT = """COALESCE(f.threshold, CASE f.severity WHEN 'critical' THEN b.critical_chip_c ELSE b.warn_chip_c END)"""
_LOW = f"b.expected_ths * COALESCE(f.threshold, {DEFAULT_LOW_PERCENT}) / 100"

CONDITIONS = (
    Condition(
        AlertKind.OFFLINE,
        "NOT b.reached AND b.status IN ('active', 'offline')",
        "COALESCE('no reading since ' || to_char(b.seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC',"
        " 'never read') || ': ' || b.error",
    ),
    Condition(
        AlertKind.LOW_HASHRATE,
        f"b.reached AND b.status = 'active' AND b.hashrate_ths < {_LOW}",
        "round(b.hashrate_ths, 1) || ' TH/s of ' || round(b.expected_ths, 1) || ' expected'",
    ),
    Condition(
        AlertKind.HOT_CHIP,
        f"b.reached AND b.temperature_c >= {_LIMIT}",
        f"'hottest chip ' || round(b.temperature_c, 1) || ' °C, limit ' || round({_LIMIT}) || ' °C'",
    ),
    Condition(
        AlertKind.DEAD_FAN,
        "b.reached AND b.hashrate_ths > 0 AND 0 = ANY(b.fan_rpm)",
        "'fan ' || array_position(b.fan_rpm, 0) || ' of ' || cardinality(b.fan_rpm) || ' at 0 RPM while it hashes'",
    ),
    Condition(
        AlertKind.CURTAILED_HASHING,
        "b.reached AND b.status = 'curtailed' AND b.hashrate_ths > COALESCE(b.expected_ths * 0.05, 0)",
        "round(b.hashrate_ths, 1) || ' TH/s while curtailed'",
    ),
    Condition(
        AlertKind.UNEXPECTED_IDENTITY,
        "b.reached AND b.other_model IS NOT NULL",
        "'reports itself as ' || b.other_model || ', the inventory says ' || b.model_name",
    ),
)
# Declared, and evaluated as soon as readings carry what they need: which boards there are, which pool is mined.
WAITING = (AlertKind.MISSING_BOARD, AlertKind.WRONG_POOL)
