"""Which machines stop for a target: exact in small farms, and by its properties in any."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from curtailment.selection import (
    IN_NO_RACK,
    IS_PROTECTED,
    NOT_NAMED,
    NOT_NEEDED,
    ON_NO_CIRCUIT,
    Candidate,
    least_hashrate_ths,
    select,
)
from curtailment.states import Strategy

OLD, MIDDLE, NEW = (3250, 95), (3068, 104), (3500, 200)  # S19, S19j Pro, S21: 34, 29 and 17 J/TH
SINGLE = ["least_efficient", "lowest_margin", "tiers", "listed"]


def machine(miner_id: int, kind: tuple[float, float] = OLD, **fields) -> Candidate:
    return Candidate(miner_id, *kind, **fields)


def ids(machines) -> list[int]:
    return [one.miner_id for one in machines]


def test_the_least_efficient_go_first():
    farm = [machine(1, NEW), machine(2, OLD), machine(3, MIDDLE), machine(4, OLD)]
    found = select(farm, target_w=6000, strategy="least_efficient")
    assert ids(found.chosen) == [2, 4]
    assert found.shortfall_w == 0
    assert ids(found.reserve) == [3, 1]


def test_of_equals_the_larger_goes_first_and_then_the_lower_id():
    farm = [machine(3, (3000, 100)), machine(2, (3000, 100)), machine(1, (6000, 200))]
    assert ids(select(farm, target_w=12_000, strategy="least_efficient").chosen) == [1, 2, 3]


def test_the_last_is_the_smallest_that_still_meets_the_target():
    farm = [machine(1, (3400, 90)), machine(2, (3300, 91)), machine(3, (1500, 60))]
    assert ids(select(farm, target_w=4500, strategy="least_efficient").chosen) == [1, 3]


def test_a_farm_that_is_too_small_says_how_much_is_missing():
    found = select([machine(1), machine(2)], target_w=10_000, strategy="least_efficient")
    assert ids(found.chosen) == [1, 2]
    assert found.shortfall_w == 3500
    assert found.overshoot_w == 0


def test_a_target_of_exactly_what_machines_draw_is_met_without_overshoot():
    found = select([machine(1), machine(2), machine(3)], target_w=6500, strategy="least_efficient")
    assert ids(found.chosen) == [1, 2]
    assert found.overshoot_w == 0


def test_protected_machines_are_never_chosen_whatever_is_asked():
    farm = [machine(1, tier="protected", rack_id=1, circuit_id=1), machine(2, rack_id=1, circuit_id=1)]
    for strategy in Strategy.values:
        found = select(farm, target_w=None, strategy=strategy, listed={1, 2})
        assert ids(found.chosen) == [2]
        assert found.left_out == {1: IS_PROTECTED}


def test_standard_machines_go_before_vip_ones():
    farm = [machine(1, OLD, tier="vip"), machine(2, NEW), machine(3, NEW), machine(4, OLD, tier="vip")]
    assert ids(select(farm, target_w=6500, strategy="tiers").chosen) == [2, 3]
    assert ids(select(farm, target_w=9000, strategy="tiers").chosen) == [2, 3, 1]
    assert ids(select(farm, target_w=3000, strategy="least_efficient").chosen) == [1]


def test_a_vip_comes_back_before_a_standard_machine_when_there_is_too_much():
    farm = [machine(1, (1000, 50)), machine(2, (1000, 50)), machine(3, (4000, 60), tier="vip")]
    assert ids(select(farm, target_w=4500, strategy="tiers").chosen) == [1, 3]  # one standard too many, the VIP needed
    assert ids(select(farm, target_w=2000, strategy="tiers").chosen) == [1, 2]


def test_the_lowest_margin_goes_first():
    farm = [machine(1, OLD, margin_usd_per_h=0.2), machine(2, NEW, margin_usd_per_h=-0.1), machine(3, OLD)]
    found = select(farm, target_w=3000, strategy="lowest_margin")
    assert ids(found.chosen) == [2]
    assert ids(found.reserve) == [1, 3]  # of an unknown margin, last


def test_machines_that_are_not_named_stay_out():
    found = select([machine(1), machine(2), machine(3)], target_w=None, strategy="listed", listed=[3, 1])
    assert ids(found.chosen) == [1, 3]
    assert found.left_out == {2: NOT_NAMED}


def test_a_named_list_with_a_target_stops_no_more_than_it_needs():
    found = select([machine(1), machine(2), machine(3)], target_w=3000, strategy="listed", listed=[1, 2])
    assert ids(found.chosen) == [1]
    assert ids(found.reserve) == [2]


def test_whole_racks_go_the_least_efficient_first():
    farm = [machine(1, NEW, rack_id=7), machine(2, OLD, rack_id=8), machine(3, OLD, rack_id=8), machine(4, OLD)]
    found = select(farm, target_w=3000, strategy="racks")
    assert ids(found.chosen) == [2, 3]  # 190 TH/s in two old ones, 200 in the new one
    assert ids(found.reserve) == [1]
    assert found.left_out == {4: IN_NO_RACK}


def test_whole_circuits_go_together():
    farm = [machine(1, OLD, circuit_id=1), machine(2, OLD, circuit_id=1), machine(3, NEW, circuit_id=2), machine(4)]
    found = select(farm, target_w=9000, strategy="circuits")
    assert ids(found.chosen) == [1, 2, 3]
    assert found.left_out == {4: ON_NO_CIRCUIT}


def test_a_fair_share_is_by_power_and_to_within_one_machine():
    farm = [machine(number, client_id="a") for number in range(1, 31)]
    farm += [machine(number, client_id="b") for number in range(31, 41)]
    found = select(farm, target_w=8 * 3250, strategy="fair_share")
    taken = [one.client_id for one in found.chosen]
    assert (taken.count("a"), taken.count("b")) == (6, 2)
    assert taken != sorted(taken)  # in turn, not one client after the other


def test_who_bore_least_bears_the_remainder():
    farm = [machine(1, client_id="a"), machine(2, client_id="b")]
    for borne, who in (({"a": 5.0, "b": 4.0}, [2]), ({"a": 4.0, "b": 5.0}, [1]), ({"b": 1.0}, [1])):
        assert ids(select(farm, target_w=3000, strategy="fair_share", borne_kwh=borne).chosen) == who


@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (40, 7, 2), (10, 10, 10)])
def test_thirty_events_even_out_what_clients_bear(sizes):
    """For each kW that they run, nobody has borne more than one machine's event above another."""
    farm, borne = [], {str(client): 0.0 for client in range(len(sizes))}
    for client, count in enumerate(sizes):
        farm += [machine(len(farm) + number, client_id=str(client)) for number in range(1, count + 1)]
    random = Random(1)
    for _ in range(30):
        found = select(farm, target_w=random.uniform(1000, 9000), strategy="fair_share", borne_kwh=borne)
        for one in found.chosen:
            borne[one.client_id] += one.baseline_w / 1000
    per_kw = [kwh / (3.25 * sizes[int(client)]) for client, kwh in borne.items()]
    assert max(per_kw) - min(per_kw) <= 1 / min(sizes) + 1e-9


def test_the_reserve_is_a_quarter_of_what_is_chosen_and_at_least_twenty():
    farm = [machine(number) for number in range(1, 401)]
    few = select(farm, target_w=3000, strategy="least_efficient")
    assert len(few.reserve) == 20
    assert few.left_out == dict.fromkeys(range(22, 401), NOT_NEEDED)
    assert len(select(farm, target_w=200 * 3250, strategy="least_efficient").reserve) == 50


@pytest.mark.parametrize("target_w", [0, -1, float("nan")])
def test_a_target_is_above_nothing(target_w):
    with pytest.raises(ValueError, match="give more than 0"):
        select([machine(1)], target_w=target_w, strategy="least_efficient")


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="coin_toss is no strategy"):
        select([machine(1)], target_w=1, strategy="coin_toss")


def test_nothing_to_choose_from_is_a_shortfall():
    for strategy in Strategy.values:
        found = select([], target_w=1000, strategy=strategy)
        assert (found.chosen, found.shortfall_w) == ([], 1000)


# --- any farm -----------------------------------------------------------------------------------------------------------

machines = st.builds(
    Candidate,
    miner_id=st.just(0),
    baseline_w=st.floats(800, 6000),
    hashrate_ths=st.floats(40, 400),
    client_id=st.sampled_from(["a", "b", "c", None]),
    margin_usd_per_h=st.none() | st.floats(-1, 1),
    tier=st.sampled_from(["standard", "standard", "vip", "protected"]),
    rack_id=st.none() | st.integers(1, 5),
    circuit_id=st.none() | st.integers(1, 3),
)
farms = st.lists(machines, max_size=60).map(
    lambda some: [replace(one, miner_id=number) for number, one in enumerate(some, 1)]
)
borne = st.dictionaries(st.sampled_from(["a", "b", "c", None]), st.floats(0, 1000))
anything = {
    "farm": farms,
    "target_w": st.floats(1, 200_000),
    "strategy": st.sampled_from(Strategy.values),
    "borne_kwh": borne,
}


@given(**anything)
def test_every_machine_is_chosen_in_reserve_or_left_out_with_a_reason(farm, target_w, strategy, borne_kwh):
    found = select(farm, target_w=target_w, strategy=strategy, borne_kwh=borne_kwh)
    groups = [*ids(found.chosen), *ids(found.reserve), *found.left_out]
    assert sorted(groups) == sorted(ids(farm))
    assert all(found.left_out.values())
    assert all(one.tier != "protected" for one in [*found.chosen, *found.reserve])


@given(**anything)
def test_the_target_is_met_or_all_that_can_be_is_chosen(farm, target_w, strategy, borne_kwh):
    found = select(farm, target_w=target_w, strategy=strategy, borne_kwh=borne_kwh)
    if found.shortfall_w > 1e-6:
        assert found.reserve == []
        assert NOT_NEEDED not in found.left_out.values()
        assert found.shortfall_w == pytest.approx(target_w - found.power_w)
    else:
        assert found.power_w >= target_w - 1e-6


@given(
    farm=farms,
    target_w=st.floats(1, 200_000),
    strategy=st.sampled_from([*SINGLE, "racks", "circuits"]),
    borne_kwh=borne,
)
def test_nothing_that_is_chosen_could_be_dropped(farm, target_w, strategy, borne_kwh):
    found = select(farm, target_w=target_w, strategy=strategy)
    group = {"racks": lambda one: one.rack_id, "circuits": lambda one: one.circuit_id}.get(
        strategy, lambda one: one.miner_id
    )
    sums: dict[object, float] = {}
    for one in found.chosen:
        sums[group(one)] = sums.get(group(one), 0) + one.baseline_w
    if sums:
        assert found.overshoot_w < min(sums.values()) + 1e-6


@given(**anything, random=st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(farm, target_w, strategy, borne_kwh, random):
    shuffled = farm[:]
    random.shuffle(shuffled)
    assert select(shuffled, target_w=target_w, strategy=strategy, borne_kwh=borne_kwh) == select(
        farm, target_w=target_w, strategy=strategy, borne_kwh=borne_kwh
    )


@given(farm=farms, target_w=st.floats(1, 200_000), borne_kwh=borne)
@settings(max_examples=200)
def test_a_fair_share_is_within_one_machine_of_the_quota(farm, target_w, borne_kwh):
    able = [one for one in farm if one.tier != "protected"]
    found = select(farm, target_w=target_w, strategy="fair_share", borne_kwh=borne_kwh)
    total_w = sum(one.baseline_w for one in able)
    for client in {one.client_id for one in able}:
        theirs = [one for one in able if one.client_id == client]
        quota_w = min(1, target_w / total_w) * sum(one.baseline_w for one in theirs)
        has_w = sum(one.baseline_w for one in found.chosen if one.client_id == client)
        assert abs(has_w - quota_w) <= max(one.baseline_w for one in theirs) + 1e-6


@given(farm=farms, target_w=st.floats(1, 200_000))
def test_no_choice_forgoes_less_than_the_bound(farm, target_w):
    able = [one for one in farm if one.tier != "protected"]
    for strategy in Strategy.values:
        found = select(able, target_w=target_w, strategy=strategy)
        if not found.shortfall_w:
            assert found.hashrate_ths >= least_hashrate_ths(able, target_w) - 1e-6


def test_a_large_farm_forgoes_hardly_more_than_the_bound():
    random = Random(8)
    kinds = [(3250, 95), (3068, 104), (3250, 110), (3010, 140), (3500, 200), (3472, 112), (3420, 90)]
    farm = [
        machine(number, (watts * random.uniform(0.94, 1.06), ths * random.uniform(0.9, 1.03)))
        for number in range(6000)
        for watts, ths in [random.choice(kinds)]
    ]
    for target_w in (500e3, 2e6, 10e6):
        found = select(farm, target_w=target_w, strategy="least_efficient")
        assert found.hashrate_ths <= 1.001 * least_hashrate_ths(farm, target_w)
