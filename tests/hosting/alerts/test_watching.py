"""When an alert opens, when it closes, and when it must not."""

from datetime import timedelta

import pytest

from events.models import OutboxEvent
from hosting import services
from hosting.alerts import services as alerting
from hosting.alerts.kinds import AlertState
from hosting.models import Alert, AlertRule, AlertSignal, MaintenanceWindow, Miner, MinerIdentity, MinerModel

pytestmark = pytest.mark.django_db


def standing() -> set[tuple[str, str]]:
    return set(Alert.objects.standing().values_list("kind", "miner__serial_number"))


def told(event_type: str) -> list[dict[str, object]]:
    events = OutboxEvent.objects.filter(event_type=event_type).order_by("id")
    return [event.payload for event in events]


def test_a_machine_that_falls_silent_is_an_alert_after_five_minutes(farm, machines):
    first, second = machines(2)
    farm.minutes(3, [first, second])
    farm.minutes(5, [first, second], bad=[first], error="timeout")
    assert standing() == set()
    farm.minutes(1, [first, second], bad=[first], error="timeout")
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.miner, alert.state) == ("offline", "critical", first, "open")
    assert alert.evidence.startswith("no reading since ")
    assert alert.evidence.endswith(" UTC: timeout")
    assert alert.opened_at == farm.now - timedelta(minutes=5)
    assert [event["serial_number"] for event in told("alert.opened")] == ["M-0001"]


def test_it_closes_after_three_good_readings_and_not_after_two(farm, machines):
    (miner,) = machines(1)
    farm.minutes(6, [miner], bad=[miner], error="timeout")
    farm.minutes(2, [miner])
    assert standing() == {("offline", "M-0001")}
    assert told("alert.resolved") == []
    farm.minutes(1, [miner])
    assert standing() == set()
    assert [(event["serial_number"], event["machines"]) for event in told("alert.resolved")] == [("M-0001", 0)]
    assert Alert.objects.get().resolved_at is not None
    assert AlertSignal.objects.count() == 0


def test_a_machine_that_flickers_opens_nothing(farm, machines):
    (miner,) = machines(1)
    for _ in range(6):
        farm.minutes(1, [miner], bad=[miner], hashrate_centi_ths=500)
        farm.minutes(3, [miner])
    assert Alert.objects.count() == 0


def test_an_evaluation_that_runs_twice_counts_once(farm, machines):
    (miner,) = machines(1)
    farm.minutes(3, [miner], bad=[miner], fan_rpm=(6000, 0), evaluate=False)
    for _ in range(5):
        farm.minutes(1, [], sweep=False)
        farm.now -= timedelta(minutes=1)
    assert AlertSignal.objects.get().hits == 1
    assert Alert.objects.count() == 0


def test_a_low_hashrate_is_judged_by_the_mean_of_ten_minutes(farm, machines):
    low, noisy = machines(2)
    for minute in range(14):
        # The second one jumps between a half and one and a half of its nameplate, as short windows do.
        farm.minutes(1, [low], bad=[low], hashrate_centi_ths=8_000, evaluate=False)
        farm.now -= timedelta(minutes=1)
        farm.minutes(1, [noisy], bad=[noisy], hashrate_centi_ths=5_500 if minute % 3 else 19_500)
    assert standing() == {("low_hashrate", "M-0001")}
    assert Alert.objects.get().evidence == "80.0 TH/s of 110.0 expected"


def test_the_machines_own_nameplate_comes_before_its_models(farm, machines):
    (miner,) = machines(1, nameplate_ths=95)
    farm.minutes(14, [miner], bad=[miner], hashrate_centi_ths=8_000)  # 73 % of 110, 84 % of 95
    assert standing() == set()


def test_a_hot_chip_is_measured_by_its_models_limits(farm, machines, catalogue):
    cool = MinerModel.objects.create(name="Cool 1", warn_chip_c=60, critical_chip_c=65)
    usual, sensitive = machines(1)[0], machines(1, prefix="S", miner_model=cool)[0]
    farm.minutes(8, [usual, sensitive], bad=[usual, sensitive], temperature_centi_c=7_800)
    alert = Alert.objects.get()
    assert (alert.miner, alert.severity, alert.evidence) == (sensitive, "critical", "hottest chip 78.0 °C, limit 65 °C")


def test_a_hotter_chip_is_one_alert_of_the_graver_kind(farm, machines):
    (miner,) = machines(1)
    farm.minutes(7, [miner], bad=[miner], temperature_centi_c=8_600)
    assert [alert.severity for alert in Alert.objects.standing()] == ["warning"]
    farm.minutes(4, [miner], bad=[miner], temperature_centi_c=9_700)
    assert [alert.severity for alert in Alert.objects.standing()] == ["critical"]


def test_a_fan_at_zero_counts_while_the_machine_hashes(farm, machines):
    hashing, idle = machines(2)
    for _ in range(4):
        farm.minutes(1, [hashing], bad=[hashing], fan_rpm=(6000, 0), evaluate=False)
        farm.now -= timedelta(minutes=1)
        farm.minutes(1, [idle], bad=[idle], fan_rpm=(0, 0), hashrate_centi_ths=0)
    assert ("dead_fan", "M-0001") in standing()
    assert ("dead_fan", "M-0002") not in standing()
    assert Alert.objects.get(kind="dead_fan").evidence == "fan 2 of 2 at 0 RPM while it hashes"


def test_a_curtailed_machine_may_be_silent_and_may_not_hash(farm, machines):
    silent, hashing, asleep = machines(3, status="curtailed")
    for _ in range(12):
        farm.minutes(1, [silent, asleep], bad=[silent], error="refused", evaluate=False)
        farm.now -= timedelta(minutes=1)
        farm.minutes(1, [hashing])
        Miner.objects.update(status="curtailed")
    farm.minutes(12, [asleep], bad=[asleep], hashrate_centi_ths=0)
    assert standing() == {("curtailed_hashing", "M-0002")}


def test_a_machine_that_says_it_is_another_model_is_told(farm, machines):
    right, wrong, unknown = machines(3)
    for miner, model in ((right, "Antminer S19 Pro"), (wrong, "Antminer S19j Pro"), (unknown, "Prototype 7")):
        MinerIdentity.objects.create(miner=miner, make="antminer", model=model)
    farm.minutes(4, [right, wrong, unknown])
    alert = Alert.objects.get()
    assert (alert.kind, alert.miner) == ("unexpected_identity", wrong)
    assert alert.evidence == "reports itself as Antminer S19j Pro, the inventory says S19 Pro"


def test_nobody_is_told_twice_within_the_cool_down(farm, machines):
    (miner,) = machines(1)
    for _ in range(2):
        farm.minutes(4, [miner], bad=[miner], fan_rpm=(0, 6000))
        farm.minutes(3, [miner])
    assert Alert.objects.count() == 2
    assert len(told("alert.opened")) == 1
    assert len(told("alert.resolved")) == 1
    farm.minutes(40, [miner], bad=[miner], fan_rpm=(0, 6000))
    assert Alert.objects.count() == 3
    assert len(told("alert.opened")) == 2  # it lasted longer than the cool-down


def test_maintenance_raises_nothing_and_ends_what_there_was(farm, machines, operator):
    (miner,) = machines(1)
    farm.minutes(6, [miner], bad=[miner], error="timeout")
    services.start_maintenance(Miner.objects.all(), by=operator)
    farm.minutes(1, [miner], bad=[miner], error="timeout")
    assert standing() == set()
    farm.minutes(10, [miner], bad=[miner], error="timeout")
    assert Alert.objects.count() == 1


def test_a_window_covers_a_site_or_some_of_its_machines(farm, machines, site):
    inside, outside = machines(2)
    window = MaintenanceWindow.objects.create(
        site=site, starts_at=farm.now, ends_at=farm.now + timedelta(minutes=20), reason="new fans"
    )
    farm.minutes(8, [inside, outside], bad=[inside, outside], error="timeout")
    assert standing() == set()
    window.miners.add(inside)
    farm.minutes(8, [inside, outside], bad=[inside, outside], error="timeout")
    assert standing() == {("offline", "M-0002")}
    farm.minutes(12, [inside, outside], bad=[inside, outside], error="timeout")  # the window is over
    assert standing() == {("offline", "M-0001"), ("offline", "M-0002")}


def test_the_closest_rule_counts_and_a_switched_off_one_silences(farm, machines, site, catalogue):
    usual, quiet = machines(1)[0], machines(1, prefix="Q", miner_model=catalogue.get(name="S21"))[0]
    AlertRule.objects.create(kind="offline", severity="critical", site=site, minutes=1)
    AlertRule.objects.create(kind="offline", severity="critical", miner_model=quiet.miner_model, enabled=False)
    farm.minutes(2, [usual, quiet], bad=[usual, quiet], error="timeout")
    assert standing() == {("offline", "M-0001")}
    farm.minutes(10, [usual, quiet], bad=[usual, quiet], error="timeout")
    assert standing() == {("offline", "M-0001")}


def test_what_is_taken_on_stays_so_until_it_is_over(farm, machines, operator):
    (miner,) = machines(1)
    farm.minutes(6, [miner], bad=[miner], error="timeout")
    assert alerting.acknowledge(Alert.objects.all(), note=" on my way ", by=operator) == 1
    assert alerting.acknowledge(Alert.objects.all(), note="me too", by=operator) == 0
    with pytest.raises(alerting.AlertOver, match="Look at the list again"):
        alerting.acknowledge_one(Alert.objects.get(), by=operator)
    farm.minutes(2, [miner], bad=[miner], error="timeout")
    alert = Alert.objects.get()
    assert (alert.state, alert.note, alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, "on my way", operator)
    farm.minutes(3, [miner])
    assert Alert.objects.get().state == AlertState.RESOLVED


def test_a_silent_collector_is_no_machines_fault(farm, machines):
    miners = machines(30)
    farm.minutes(3, miners)
    farm.minutes(45, [], sweep=False)
    assert Alert.objects.count() == 0
    # The first sweep after the silence finds half of them down: their five minutes begin now.
    farm.minutes(5, miners, bad=miners[:15], error="timeout")
    assert Alert.objects.count() == 0
    farm.minutes(1, miners, bad=miners[:15], error="timeout")
    assert Alert.objects.filter(miner__isnull=False).count() == 15


def test_trouble_from_before_a_silence_starts_again_and_alerts_stay(farm, machines):
    down, coming = machines(2)
    farm.minutes(6, [down, coming], bad=[down], error="timeout")
    farm.minutes(3, [down, coming], bad=[down, coming], error="timeout")
    farm.minutes(30, [], sweep=False)
    assert standing() == {("offline", "M-0001")}
    farm.minutes(2, [down, coming], bad=[down, coming], error="timeout")
    assert standing() == {("offline", "M-0001")}
    farm.minutes(4, [down, coming], bad=[down, coming], error="timeout")
    assert standing() == {("offline", "M-0001"), ("offline", "M-0002")}


def test_minutes_that_waited_in_the_spool_are_no_silence(farm, machines):
    (miner,) = machines(1)
    farm.minutes(2, [miner])
    farm.minutes(
        7, [miner], bad=[miner], error="timeout", evaluate=False
    )  # the database was away, then all came at once
    farm.minutes(1, [miner], bad=[miner], error="timeout")
    assert Alert.objects.count() == 0  # one look is not two
    farm.minutes(5, [miner], bad=[miner], error="timeout")
    assert standing() == {("offline", "M-0001")}
