"""The closer look: boards, air, codes and pool beside the latest reading, a fifth of the farm each minute."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from hosting.cgminer.client import PollResult
from hosting.cgminer.reading import Board, Reading
from hosting.models import MinerLatest
from hosting.telemetry.details import store_details, wants_details, wants_pool
from minefarm.lib.clock import database_minute


def looked_at(miner, **values):
    boards = [Board(1, 36.5, 108, 110, 78.0, 63.5, 12), Board(2, rate_ths=0.0)]
    told = {"boards": boards, "board_temperature_c": 63.5, "inlet_temperature_c": 24.25, "errors": ["110"]} | values
    return PollResult("10.0.0.1", 4028, Reading(**told), key=miner.pk)


def due_minute(miner):
    start = database_minute()
    return next(minute for n in range(5) if wants_details(miner.pk, minute := start + timedelta(minutes=n)))


def test_every_machine_has_its_turn_once_in_five_minutes_and_its_pool_once_in_an_hour():
    start = datetime(2026, 11, 23, 7, 33, tzinfo=UTC)
    for miner_id in (1, 2, 77):
        minutes = [start + timedelta(minutes=n) for n in range(60)]
        turns = [minute for minute in minutes if wants_details(miner_id, minute)]
        assert len(turns) == 12
        assert {later - earlier for earlier, later in pairwise(turns)} == {timedelta(minutes=5)}
        pools = [minute for minute in minutes if wants_pool(miner_id, minute)]
        assert (len(pools), pools[0] in turns) == (1, True)


@pytest.mark.django_db
def test_boards_are_kept_beside_the_latest_reading_and_a_pool_until_the_next_is_told(miner_a):
    minute = due_minute(miner_a)
    MinerLatest.objects.create(miner=miner_a, attempted_at=minute)
    named = looked_at(miner_a, pool_url="stratum+tcp://pool.example:3333", pool_worker="farm.1")
    assert store_details(minute, [named]) == 1
    assert store_details(minute + timedelta(minutes=5), [looked_at(miner_a, errors=[])]) == 1
    assert store_details(minute, [named]) == 0  # an earlier look never replaces a later one
    latest = MinerLatest.objects.get()
    assert latest.boards == [
        {
            "board": 1,
            "hashrate_ths": 36.5,
            "chips": 108,
            "chips_expected": 110,
            "temperature_c": 78.0,
            "board_temperature_c": 63.5,
            "hardware_errors": 12,
        },
        {"board": 2, "hashrate_ths": 0.0},
    ]
    assert (latest.board_temperature_c, latest.inlet_temperature_c) == (Decimal("63.50"), Decimal("24.25"))
    assert (latest.error_codes, latest.pool_url, latest.pool_worker) == (
        [],
        "stratum+tcp://pool.example:3333",
        "farm.1",
    )
    assert latest.details_at == minute + timedelta(minutes=5)


@pytest.mark.django_db
def test_a_machine_whose_turn_it_is_not_or_that_gave_nothing_is_left_alone(miner_a):
    minute = due_minute(miner_a)
    MinerLatest.objects.create(miner=miner_a, attempted_at=minute)
    assert store_details(minute + timedelta(minutes=1), [looked_at(miner_a)]) == 0
    assert store_details(minute, [PollResult("10.0.0.1", 4028, key=miner_a.pk)]) == 0
    assert MinerLatest.objects.get().details_at is None
