"""An agent's report on the wire: what is believed of it. Pure."""

import gzip
from datetime import UTC, datetime

import orjson
import pytest

from hosting.edge import wire
from hosting.telemetry.store import Row, SweepFacts

MINUTE = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
READING = Row(7, None, None, 11_057, 11_183, 7_800, 326_182, True, (6000, 5880), 50_474, 4057, 11, 562)
FAILED = Row(8, None, "timeout")


def document(*rows: Row) -> dict:
    return orjson.loads(
        gzip.decompress(wire.write_report(SweepFacts(1, MINUTE, {"power_w:nan": 2}, 1.5, 0.25), rows, []))
    )


def test_a_report_arrives_as_it_was_written():
    report = wire.read_report(1, document(FAILED, READING), {7: None, 8: None})
    assert report.rows == [READING, FAILED]
    assert report.facts == SweepFacts(1, MINUTE, {"power_w:nan": 2}, 1.5, 0.25)
    assert (report.identities, report.foreign) == ([], [])


def test_everything_unknown_stays_unknown():
    unknown = Row(7, None, None)
    assert wire.read_report(1, document(unknown), {7: None}).rows == [unknown]


@pytest.mark.parametrize("field", wire.AMOUNTS)
@pytest.mark.parametrize("value", [1e30, 10**18, -(10**18), 1.5, "9", True, [], {}], ids=str)
def test_a_value_that_cannot_be_is_unknown_and_counted(field, value):
    spoilt = document(READING)
    spoilt["columns"][field] = [value]
    report = wire.read_report(1, spoilt, {7: None})
    assert getattr(report.rows[0], field) is None
    assert report.facts.rejected_values == {"power_w:nan": 2, f"{wire.AMOUNTS[field][0]}:report": 1}
    others = [name for name in wire.FIELDS if name != field]
    assert [getattr(report.rows[0], name) for name in others] == [getattr(READING, name) for name in others]


@pytest.mark.parametrize("fans", ["fast", [6000, -1], [6000, "x"], [6000] + [1] * 40], ids=str)
def test_fans_that_cannot_be_are_left_out(fans):
    spoilt = document(READING)
    spoilt["columns"]["fan_rpm"] = [fans]
    row = wire.read_report(1, spoilt, {7: None}).rows[0]
    assert len(row.fan_rpm) <= wire.MOST_FANS
    assert all(fan in {6000, 1} for fan in row.fan_rpm)


@pytest.mark.parametrize("error", ["x" * 100_000, "\x00", 7, True, []], ids=lambda error: str(error)[:9])
def test_a_reason_that_nobody_knows_is_bad_json(error):
    spoilt = document(FAILED)
    spoilt["columns"]["error"] = [error]
    assert wire.read_report(1, spoilt, {8: None}).rows == [Row(8, None, "bad_json")]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["columns"]["fan_rpm"].pop(),
        lambda d: d["columns"].update(miner_id=["x"]),
        lambda d: d["columns"].update(miner_id=[True]),
        lambda d: d["columns"].update(miner_id=7),
        lambda d: d.update(columns=[1]),
        lambda d: d.update(site=2),
        lambda d: d.update(minute="yesterday"),
        lambda d: d.update(minute=None),
        lambda d: d.update(minute="2026-11-23T10:00:07+00:00"),
        lambda d: d.update(minute="2026-11-23T10:00:00"),
        lambda d: d.update(minute="0001-01-01T00:00:00+14:00"),
        lambda d: d.update(wall_s="long"),
        lambda d: d.update(cpu_s=True),
        lambda d: d.update(identities=[["\x00", 1]]),
        lambda d: d.update(identities=[[7, "a\x00b", None, None, None]]),
        lambda d: d.update(identities=[[7, "x" * 1000, None, None, None]]),
        lambda d: d.update(rejected_values=[]),
        lambda d: [d["columns"][name].append(d["columns"][name][0]) for name in wire.FIELDS],
        lambda d: d["columns"].update({name: [None] * (wire.MOST_MACHINES + 1) for name in wire.FIELDS}),
    ],
)
def test_what_is_no_report_is_malformed(spoil):
    spoilt = document(READING)
    spoil(spoilt)
    with pytest.raises(wire.Malformed):
        wire.read_report(1, spoilt, {7: None})


def test_kept_minutes_one_after_the_other_are_a_batch():
    lines = [wire.pack_line({"n": number}) for number in range(3)]
    assert [orjson.loads(line) for line in wire.unpack_lines(b"".join(lines))] == [{"n": 0}, {"n": 1}, {"n": 2}]
    whole = gzip.compress(b'{"n": 0}\n{"n": 1}\n')
    assert [orjson.loads(line) for line in wire.unpack_lines(whole)] == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize(
    "packed",
    [
        b"x" * (wire.MOST_PACKED + 1),
        gzip.compress(b"0" * (wire.MOST_UNPACKED + 1)),
        gzip.compress(b"0" * (wire.MOST_LINE + 1)),
        gzip.compress(b"{}") * (wire.MOST_LINES + 1),
        gzip.compress(b"{}\n" * (wire.MOST_LINES + 1)),
        gzip.compress(b"0" * (wire.MOST_UNPACKED // 4)) * 5,
    ],
    ids=["packed", "unpacked", "line", "members", "lines", "together"],
)
def test_no_batch_unfolds_beyond_its_bounds(packed):
    with pytest.raises(wire.TooMuch):
        list(wire.unpack_lines(packed))
