"""What of a machine need not be known every minute: its boards, the air, error codes and its pool.

A fifth of the farm is looked at more closely each minute. What is read stays with the latest reading only: a minute that has
to wait in the spool keeps its history and loses this.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from psycopg.types.json import Jsonb

from hosting.cgminer.client import PollResult
from hosting.cgminer.reading import Board, Reading

DETAILS_EVERY_MIN = 5
POOL_EVERY_MIN = 60


def wants_details(miner_id: int, minute: datetime) -> bool:
    return (miner_id + _number(minute)) % DETAILS_EVERY_MIN == 0


def wants_pool(miner_id: int, minute: datetime) -> bool:
    return (miner_id + _number(minute)) % POOL_EVERY_MIN == 0


def _number(minute: datetime) -> int:
    return int(minute.timestamp()) // 60


def board_document(board: Board) -> dict[str, Any]:
    """One board as it is stored and sent: short names, unknown values left out."""
    values = {
        "board": board.number,
        "hashrate_ths": board.rate_ths,
        "chips": board.chips,
        "chips_expected": board.chips_expected,
        "temperature_c": board.chip_c,
        "board_temperature_c": board.board_c,
        "hardware_errors": board.errors,
    }
    return {name: value for name, value in values.items() if value is not None}


def details_document(reading: Reading) -> dict[str, Any]:
    return {
        "boards": [board_document(board) for board in reading.boards],
        "board_temperature_c": reading.board_temperature_c,
        "inlet_temperature_c": reading.inlet_temperature_c,
        "error_codes": reading.errors,
        "pool_url": reading.pool_url,
        "pool_worker": reading.pool_worker,
    }


# A pool that was not asked for stays as it was.
STORE_DETAILS = """
UPDATE miner_latest l SET
    details_at = %(minute)s, boards = d.boards, error_codes = d.error_codes,
    board_temperature_c = d.board_temperature_c, inlet_temperature_c = d.inlet_temperature_c,
    pool_url = COALESCE(d.pool_url, l.pool_url),
    pool_worker = CASE WHEN d.pool_url IS NULL THEN l.pool_worker ELSE d.pool_worker END
FROM jsonb_to_recordset(%(rows)s) AS d (
    miner_id integer, boards jsonb, error_codes text[], board_temperature_c numeric(5, 2), inlet_temperature_c numeric(5, 2),
    pool_url text, pool_worker text)
WHERE l.miner_id = d.miner_id AND (l.details_at IS NULL OR l.details_at < %(minute)s)
"""


def store_details(minute: datetime, results: Iterable[PollResult]) -> int:
    """Write down what the closer looks of this minute found, and return of how many machines."""
    rows = [
        {"miner_id": result.key} | details_document(result.reading)
        for result in results
        if result.reading is not None and wants_details(result.key, minute)
    ]
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(STORE_DETAILS, {"minute": minute, "rows": Jsonb(rows, orjson.dumps)})
        return cursor.rowcount
