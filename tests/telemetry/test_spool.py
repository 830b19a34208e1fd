"""Minutes on disk: whole or not there, oldest first, bounded."""

from datetime import UTC, datetime, timedelta

import pytest

from hosting.telemetry.spool import Gap, Spool, Torn
from hosting.telemetry.store import Row, SweepFacts, encode, pack, unpack

MINUTE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", max_bytes=100_000)


def test_a_kept_minute_comes_back_as_it_was(spool):
    spool.keep(1, MINUTE, CONTENT)
    (segment,) = spool.waiting()
    assert (segment.site_id, segment.minute) == (1, MINUTE)
    assert spool.read(segment) == CONTENT
    spool.done(segment)
    assert spool.waiting() == []


def test_minutes_wait_in_order_whatever_the_order_of_their_keeping(spool):
    for offset in (2, 0, 1):
        spool.keep(1, MINUTE + timedelta(minutes=offset), CONTENT)
    spool.keep(2, MINUTE, CONTENT)
    assert [segment.minute.minute for segment in spool.waiting(site_id=1)] == [0, 1, 2]
    assert len(spool.waiting()) == 4


def test_two_sweeps_of_one_minute_do_not_overwrite_each_other(spool):
    spool.keep(1, MINUTE, CONTENT)
    spool.keep(1, MINUTE, CONTENT)
    assert len(spool.waiting()) == 2


def test_a_cut_or_changed_file_is_told(spool):
    path = spool.keep(1, MINUTE, CONTENT)
    (segment,) = spool.waiting()
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(Torn):
            spool.read(segment)
    path.write_bytes(whole[:-5] + b"!" + whole[-4:])
    with pytest.raises(Torn, match="damaged"):
        spool.read(segment)


def test_a_sweep_survives_its_packing():
    rows = [Row(number, None, None, hashrate_centi_ths=11_000) for number in range(3)] + [Row(3, None, "timeout")]
    facts, encoded = SweepFacts(1, MINUTE, {"power_w:range": 1}, 1.5, 0.25), encode(MINUTE, rows)
    assert unpack(pack(facts, encoded)) == (facts, encoded)


def test_a_writing_that_was_killed_is_no_minute(spool):
    spool.keep(1, MINUTE, CONTENT)
    (spool.folder / "20261120T1201-1-aaaa.writing").write_bytes(CONTENT[:50])
    assert len(spool.waiting()) == 1


def test_beyond_its_bound_the_oldest_minute_goes_and_the_gap_is_noted(tmp_path):
    spool = Spool(tmp_path, max_bytes=len(CONTENT) * 2 + 100)
    for offset in range(3):
        spool.keep(1, MINUTE + timedelta(minutes=offset), CONTENT)
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
    path = spool.keep(1, MINUTE, CONTENT)
    path.write_bytes(path.read_bytes()[:-1])
    (segment,) = spool.waiting()
    with pytest.raises(Torn):
        spool.read(segment)
    spool.set_aside(segment, "damaged")
    assert spool.waiting() == []
    assert list(spool.folder.glob("*.torn"))
    assert list(spool.take_gaps()) == [Gap(1, MINUTE, "damaged")]
