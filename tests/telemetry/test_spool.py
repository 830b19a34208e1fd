"""Minutes on disk: whole or not there, oldest first, bounded."""

from datetime import UTC, datetime, timedelta

import pytest

from hosting.telemetry.spool import Gap, Spool, Torn, pack, unpack
from hosting.telemetry.store import Row, SweepFacts, encode

MINUTE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def sweep(site: int = 1, minute: datetime = MINUTE, machines: int = 3):
    rows = [Row(number, None, None, hashrate_centi_ths=11_000) for number in range(machines)]
    rows.append(Row(machines, None, "timeout"))
    return SweepFacts(site, minute, {"power_w:range": 1}, 1.5, 0.25), encode(minute, rows)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", max_bytes=100_000)


def test_a_kept_minute_comes_back_as_it_was(spool):
    facts, encoded = sweep()
    spool.keep(facts, encoded)
    (segment,) = spool.waiting()
    assert (segment.site_id, segment.minute) == (1, MINUTE)
    assert spool.read(segment) == (facts, encoded)
    spool.done(segment)
    assert spool.waiting() == []


def test_minutes_wait_in_order_whatever_the_order_of_their_keeping(spool):
    for offset in (2, 0, 1):
        spool.keep(*sweep(minute=MINUTE + timedelta(minutes=offset)))
    spool.keep(*sweep(site=2))
    assert [segment.minute.minute for segment in spool.waiting(site_id=1)] == [0, 1, 2]
    assert len(spool.waiting()) == 4


def test_two_sweeps_of_one_minute_do_not_overwrite_each_other(spool):
    spool.keep(*sweep())
    spool.keep(*sweep())
    assert len(spool.waiting()) == 2


def test_a_cut_file_is_told_at_every_length():
    content = pack(*sweep())
    for length in range(0, len(content), 7):
        with pytest.raises(Torn):
            unpack(content[:length])


def test_a_changed_byte_is_told():
    content = bytearray(pack(*sweep()))
    content[-5] ^= 1
    with pytest.raises(Torn, match="damaged"):
        unpack(bytes(content))


def test_a_writing_that_was_killed_is_no_minute(spool):
    spool.keep(*sweep())
    (spool.folder / "20261120T1201-1-aaaa.writing").write_bytes(pack(*sweep())[:50])
    assert len(spool.waiting()) == 1


def test_beyond_its_bound_the_oldest_minute_goes_and_the_gap_is_noted(tmp_path):
    size = len(pack(*sweep()))
    spool = Spool(tmp_path, max_bytes=size * 2)
    for offset in range(3):
        spool.keep(*sweep(minute=MINUTE + timedelta(minutes=offset)))
    assert [segment.minute.minute for segment in spool.waiting()] == [1, 2]
    assert spool.size() <= spool.max_bytes
    assert list(spool.take_gaps()) == [Gap(1, MINUTE, "spool full")]


def test_gaps_are_kept_until_they_are_written(spool):
    spool.note_gap(Gap(1, MINUTE, "spool full"))
    assert len(list(spool.take_gaps())) == 1
    spool.note_gap(Gap(2, MINUTE, "spool full"))
    notes = spool.take_gaps()
    assert [gap.site_id for gap in notes] == [1]
    notes.written()
    assert [gap.site_id for gap in spool.take_gaps()] == [2]


def test_a_torn_file_is_set_aside_not_thrown_away(spool):
    path = spool.keep(*sweep())
    path.write_bytes(path.read_bytes()[:-1])
    (segment,) = spool.waiting()
    with pytest.raises(Torn):
        spool.read(segment)
    spool.set_aside(segment, "damaged")
    assert spool.waiting() == []
    assert list(spool.folder.glob("*.torn"))
    assert list(spool.take_gaps()) == [Gap(1, MINUTE, "damaged")]
