"""Rows in PostgreSQL's binary COPY format, written straight from integers.

A sweep of 6,000 machines is 6,000 rows: packing them ourselves costs a third of what a general driver needs. Numbers with two
decimals travel as integers of hundredths (`centi`). Pure; format: PostgreSQL manual, COPY, "Binary Format", and numeric_send.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
TRUE = b"\x00\x00\x00\x01\x01"
FALSE = b"\x00\x00\x00\x01\x00"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
INT4_OID = 23

_int4 = struct.Struct("!ii").pack
_int8 = struct.Struct("!iq").pack
_numeric = [struct.Struct(f"!iHhHH{digits}H").pack for digits in range(6)]
_numeric1, _numeric2 = _numeric[1], _numeric[2]
_empty_array = struct.pack("!iiiI", 12, 0, 0, INT4_OID)

POSITIVE, NEGATIVE = 0x0000, 0x4000
DECIMALS = 2


def int4(value: int) -> bytes:
    return _int4(4, value)


def int8_or_null(value: int | None) -> bytes:
    return NULL if value is None else _int8(8, value)


def timestamptz(moment: datetime) -> bytes:
    """Microseconds since 2000, exactly (no float in between)."""
    delta = moment - EPOCH
    return _int8(8, (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def text_or_null(value: str | None) -> bytes:
    if value is None:
        return NULL
    raw = value.encode()
    return struct.pack("!i", len(raw)) + raw


def numeric(centi: int) -> bytes:
    """NUMERIC with two decimals from hundredths; |centi| < 10**14."""
    if 100 <= centi < 1_000_000:  # nearly every reading: one group of four digits before the point
        whole, hundredths = divmod(centi, 100)
        if hundredths:
            return _numeric2(12, 2, 0, POSITIVE, DECIMALS, whole, hundredths * 100)
        return _numeric1(10, 1, 0, POSITIVE, DECIMALS, whole)
    return _any_numeric(centi)


def _any_numeric(centi: int) -> bytes:
    sign = NEGATIVE if centi < 0 else POSITIVE
    whole, hundredths = divmod(abs(centi), 100)
    groups = [hundredths * 100]
    while whole:
        whole, group = divmod(whole, 10_000)
        groups.append(group)
    groups.reverse()
    weight = len(groups) - 2
    while groups and groups[-1] == 0:
        groups.pop()
    return _numeric[len(groups)](
        8 + 2 * len(groups), len(groups), max(weight, 0) if not groups else weight, sign, DECIMALS, *groups
    )


def numeric_or_null(centi: int | None) -> bytes:
    return NULL if centi is None else numeric(centi)


def int4_array(values: Sequence[int]) -> bytes:
    if not values:
        return _empty_array
    count = len(values)
    fields = [field for value in values for field in (4, value)]
    return struct.pack(f"!iiiIii{2 * count}i", 20 + 8 * count, 1, 0, INT4_OID, count, 1, *fields)


def copy_stream(columns: int, rows: Sequence[bytes]) -> bytes:
    """The whole stream for rows that are each already the bytes of `columns` fields."""
    before = struct.pack("!h", columns)
    return SIGNATURE + (before + before.join(rows) if rows else b"") + TRAILER
