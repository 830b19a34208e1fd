"""Many machines in the same trouble are one alert."""

import pytest
from django.db import IntegrityError, transaction

from events.models import OutboxEvent
from hosting.alerts import services as alerting
from hosting.alerts.fold import folds_at, unfolds_below
from hosting.alerts.watch import watch_fleet
from hosting.models import Alert, Building, Rack, Site

pytestmark = pytest.mark.django_db


def opened() -> list[tuple[object, object]]:
    events = OutboxEvent.objects.filter(event_type="alert.opened").order_by("id")
    return [(event.payload["serial_number"], event.payload["machines"]) for event in events]


def test_how_many_machines_become_one():
    assert [(folds_at(size), unfolds_below(size)) for size in (0, 3, 6, 10, 40, 6000)] == [
        (3, 2),
        (3, 2),
        (3, 2),
        (5, 2),
        (20, 10),
        (20, 10),
    ]


def test_a_whole_site_is_one_alert_and_one_event(farm, machines, client_a, client_b):
    miners = machines(25)
    farm.minutes(2, miners)
    farm.minutes(6, miners, bad=miners[:24], error="timeout")
    top = Alert.objects.on_top().get()
    assert (top.miner, top.kind, top.machines, top.evidence) == (None, "offline", 24, "24 of 25 machines")
    assert Alert.objects.filter(suppressed_by=top).count() == 24
    assert opened() == [(None, 24)]
    # Each customer still finds their own machines' alerts, and not the site's.
    assert Alert.objects.for_user(client_a).standing().count() == 24
    assert Alert.objects.for_user(client_b).count() == 0


def test_a_site_that_fails_over_two_minutes_is_still_one(farm, machines):
    miners = machines(40)
    farm.minutes(1, miners, bad=miners[:5], error="timeout")
    farm.minutes(6, miners, bad=miners, error="timeout")
    assert Alert.objects.on_top().count() == 1
    assert opened() == [(None, 5)]
    assert Alert.objects.on_top().get().machines == 40


def test_those_that_stay_behind_stand_for_themselves(farm, machines):
    miners = machines(30)
    farm.minutes(6, miners, bad=miners, error="timeout")
    farm.minutes(3, miners, bad=miners[:2], error="timeout")
    assert set(Alert.objects.on_top().values_list("miner__serial_number", flat=True)) == {"M-0001", "M-0002"}
    assert sorted(opened(), key=str) == [("M-0001", 1), ("M-0002", 1), (None, 30)]
    ended = OutboxEvent.objects.filter(event_type="alert.resolved")
    assert [(event.payload["miner_id"], event.payload["machines"]) for event in ended] == [(None, 0)]


def test_what_somebody_took_on_is_not_folded(farm, machines, operator):
    miners = machines(30)
    farm.minutes(6, miners, bad=miners[:2], error="timeout")
    alerting.acknowledge(Alert.objects.all(), by=operator)
    farm.minutes(7, miners, bad=miners, error="timeout")
    top = Alert.objects.get(miner=None)
    assert top.machines == 28
    assert Alert.objects.on_top().count() == 3


def test_each_site_and_each_kind_has_its_own(farm, machines, site):
    south = Site.objects.create(name="South")
    here, there = machines(6), machines(6, prefix="S", site=south)
    for _ in range(7):
        farm.minutes(1, here, bad=here, error="timeout", evaluate=False)
        farm.sweep(there, there, south, {"temperature_centi_c": 9_900})
        watch_fleet()
    assert set(Alert.objects.on_top().values_list("site__name", "kind", "machines")) == {
        ("North", "offline", 6),
        ("South", "hot_chip", 6),
    }


def test_there_is_one_open_alert_per_thing(farm, machines, site):
    miners = machines(5)
    farm.minutes(6, miners, bad=miners, error="timeout")
    for alert in (Alert.objects.get(miner=None), Alert.objects.get(miner=miners[0])):
        alert.pk = None
        with pytest.raises(IntegrityError, match="alerts_one_a"), transaction.atomic():
            alert.save(force_insert=True)


def test_a_rack_without_power_is_one_alert_though_the_site_is_large(farm, machines, site):
    miners = machines(60)
    hall = Building.objects.create(site=site, name="Hall A")
    dark = Rack.objects.create(building=hall, name="R-01", slots=12)
    for slot, miner in enumerate(miners[:8], start=1):
        miner.rack, miner.slot = dark, slot
        miner.save()
    farm.minutes(2, miners)
    farm.minutes(7, miners, bad=miners[:8], error="timeout")
    top = Alert.objects.on_top().get()
    assert (top.miner, top.machines) == (None, 8)
    assert top.evidence == "8 of 60 machines: 8 of 8 in rack Hall A / R-01"
    assert len(opened()) == 1
    farm.minutes(5, miners)
    assert Alert.objects.standing().count() == 0


def test_single_machines_of_many_racks_are_told_singly(farm, machines, site):
    miners = machines(40)
    hall = Building.objects.create(site=site, name="Hall A")
    for number, miner in enumerate(miners):
        miner.rack, _ = Rack.objects.get_or_create(building=hall, name=f"R-{number % 5}", defaults={"slots": 12})
        miner.slot = number // 5 + 1
        miner.save()
    farm.minutes(7, miners, bad=miners[:4], error="timeout")
    assert Alert.objects.on_top().count() == 4
