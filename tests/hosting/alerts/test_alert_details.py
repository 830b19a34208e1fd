"""Boards and pools, as far as readings tell of them."""

import pytest

from hosting.models import Alert, AlertRule, MinerLatest, MinerModel

pytestmark = pytest.mark.django_db
WHOLE = [{"board": number, "hashrate_ths": 36.6, "chips": 114} for number in range(3)]


def details(farm, miners, minutes, **values) -> None:
    """Minutes in which each is looked at closely every fifth."""
    for minute in range(minutes):
        farm.minutes(1, miners, evaluate=False)
        if minute % 5 == 0:
            MinerLatest.objects.update(details_at=farm.now, **values)
        farm.minutes(1, [], sweep=False)
        farm.now -= farm.now - MinerLatest.objects.values_list("attempted_at", flat=True)[0]


def test_a_board_without_chips_is_missing(farm, machines):
    miners = machines(1)
    details(farm, miners, 6, boards=WHOLE)
    assert Alert.objects.count() == 0
    details(farm, miners, 11, boards=[*WHOLE[:2], {"board": 2, "chips": 0, "hashrate_ths": 0}])
    alert = Alert.objects.get()
    assert (alert.kind, alert.evidence) == ("missing_board", "2 of 3 boards hash")
    details(farm, miners, 6, boards=WHOLE)
    assert Alert.objects.get().state == "resolved"


def test_fewer_boards_than_the_model_has_are_too_few(farm, machines):
    MinerModel.objects.update(boards=3)
    details(farm, machines(1), 11, boards=WHOLE[:2])
    assert Alert.objects.get().evidence == "2 of 3 boards hash"


def test_a_hot_board_counts_by_the_models_limit(farm, machines):
    details(farm, machines(1), 8, boards=WHOLE, board_temperature_c=80)
    alert = Alert.objects.get()
    assert (alert.severity, alert.evidence) == ("warning", "hottest board 80.0 °C, limit 75 °C")


def test_a_pool_that_nobody_expects_is_told(farm, machines):
    miners = machines(1)
    details(farm, miners, 11, pool_url="stratum+tcp://elsewhere.example:3333", pool_worker="thief.1")
    assert Alert.objects.count() == 0  # nothing was said of which pool is right
    AlertRule.objects.filter(kind="wrong_pool").update(expected="pool.example:3333, farm.")
    details(farm, miners, 6, pool_url="stratum+tcp://pool.example:3333", pool_worker="else.1")
    assert Alert.objects.count() == 0
    details(farm, miners, 11, pool_url="stratum+tcp://elsewhere.example:3333", pool_worker="thief.1")
    assert Alert.objects.get().evidence == "mines at stratum+tcp://elsewhere.example:3333 as thief.1"
