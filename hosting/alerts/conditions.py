"""When a machine is in trouble, as SQL over `alert_base` (b) and the rule that fits it best (f).

Each kind has a condition and its evidence; both read one row, of the machine's latest reading. What is NULL is no trouble.
A reading that failed tells of `offline` alone: what it would have shown is unknown.
"""

from dataclasses import dataclass

from hosting.alerts.kinds import AlertKind

DEFAULT_LOW_PERCENT = 75


@dataclass(frozen=True, slots=True)
class Condition:
    """`observed` is when what it reads was read: details of a machine are not looked at every minute."""

    kind: AlertKind
    bad: str
    evidence: str
    observed: str = "b.observed_at"


_CHIP = "COALESCE(f.threshold, CASE f.severity WHEN 'critical' THEN b.critical_chip_c ELSE b.warn_chip_c END)"
_BOARD = "CASE f.severity WHEN 'critical' THEN b.critical_board_c ELSE b.warn_board_c END"
_HOT_BOARD = f"(f.threshold IS NULL AND b.details_at IS NOT NULL AND b.board_temperature_c >= {_BOARD})"
_LOW = f"b.expected_ths * COALESCE(f.threshold, {DEFAULT_LOW_PERCENT}) / 100"
_DEAD_BOARDS = """(SELECT count(*) FROM jsonb_array_elements(b.boards) AS board
    WHERE board['chips'] = '0' OR COALESCE(board['chips'], 'null') = 'null' AND board['hashrate_ths'] = '0')"""
_LIVING_BOARDS = f"(jsonb_array_length(b.boards) - {_DEAD_BOARDS})"
_POOL = "b.pool_url || COALESCE(' as ' || b.pool_worker, '')"

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
        f"b.reached AND (b.temperature_c >= {_CHIP} OR {_HOT_BOARD})",
        f"CASE WHEN b.temperature_c >= {_CHIP} THEN 'hottest chip ' || round(b.temperature_c, 1) || ' °C, limit '"
        f" || round({_CHIP}) ELSE 'hottest board ' || round(b.board_temperature_c, 1) || ' °C, limit ' || {_BOARD} END || ' °C'",
    ),
    Condition(
        AlertKind.DEAD_FAN,
        "b.reached AND b.hashrate_ths > 0 AND 0 = ANY(b.fan_rpm)",
        "'fan ' || array_position(b.fan_rpm, 0) || ' of ' || cardinality(b.fan_rpm) || ' at 0 RPM while it hashes'",
    ),
    Condition(
        AlertKind.MISSING_BOARD,
        "b.reached AND b.status = 'active' AND b.hashrate_ths > 0 AND b.details_at IS NOT NULL"
        " AND jsonb_typeof(b.boards) = 'array' AND jsonb_array_length(b.boards) > 0"
        f" AND ({_DEAD_BOARDS} > 0 OR {_LIVING_BOARDS} < b.model_boards)",
        f"{_LIVING_BOARDS} || ' of ' || GREATEST(b.model_boards, jsonb_array_length(b.boards)) || ' boards hash'",
        observed="b.details_at",
    ),
    Condition(
        AlertKind.WRONG_POOL,
        "b.reached AND b.details_at IS NOT NULL AND b.pool_url IS NOT NULL AND f.expected IS NOT NULL AND NOT EXISTS ("
        " SELECT FROM unnest(string_to_array(f.expected, ',')) AS part"
        f" WHERE trim(part) <> '' AND position(lower(trim(part)) IN lower({_POOL})) > 0)",
        f"'mines at ' || {_POOL}",
        observed="b.details_at",
    ),
    Condition(
        AlertKind.CURTAILED_HASHING,
        "b.reached AND b.status = 'curtailed' AND b.hashrate_ths > COALESCE(b.expected_ths * 0.05, 0)",
        "round(b.hashrate_ths, 1) || ' TH/s while curtailed'",
    ),
    Condition(
        AlertKind.UNEXPECTED_IDENTITY,
        "b.reached AND b.other_model IS NOT NULL",
        "'reports itself as ' || b.other_model || COALESCE(', the inventory says ' || b.model_name, '')",
    ),
)
