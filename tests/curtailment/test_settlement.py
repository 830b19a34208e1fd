"""What a plan came to: measured energy, money of every hour, each customer by their own machines, kept as written."""

import json
import re
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum

from curtailment import measured, reckoning
from curtailment.evidence import verify
from curtailment.models import CurtailmentPlan, PlanMiner, Settlement, SettlementClient, SettlementMiner
from curtailment.settlement import NotSettleable, due, settle_plan
from events.models import OutboxEvent
from hosting.excused import excused_seconds, savings
from hosting.models import ExcusedStretch, Miner, TelemetrySweep
from minefarm.lib.rls import walled
from tests.curtailment.raw_plans import a_plan
from tests.curtailment.settled import BASELINE_W, begun, hashprice, over_plan, price, read_minutes

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def stopped(site, owner, miner_a, miner_b):
    """Both customers' machines off for an hour at 30 W, 10 cents a kWh, 50 dollars per PH/s and day."""
    begins = begun()
    price(site, begins - HOUR, "0.10")
    hashprice(begins - HOUR, "50")
    read_minutes([miner_a, miner_b], begins - HOUR, 180, off=begins, on=begins + HOUR)
    return over_plan(site, [miner_a, miner_b], owner)


def test_a_settlement_says_what_was_measured(stopped):
    found = settle_plan(stopped)
    assert found.requested_w == 6500
    assert found.delivered_w == 6440  # 3,250 less 30 W, twice
    assert found.kwh_avoided == Decimal("6.440000")
    assert found.saved == {"USD": "0.644000"}
    assert found.forgone_usd == Decimal("0.458334")  # 2 x 110 TH/s, an hour, each machine rounded by itself
    assert found.coverage == 1
    assert (found.confirmed, found.drifted, found.failed) == (2, 0, 0)
    assert found.seconds_to_50 == 30
    assert found.seconds_to_100 is None  # a sleeping machine draws 30 W: the whole of 6.5 kW was not reached
    steps = list(found.intervals.all())
    assert len(steps) == 12
    assert {step.requested_kw for step in steps} == {Decimal("6.500000")}
    assert {step.delivered_kw for step in steps} == {Decimal("6.440000")}


def test_what_no_meter_and_no_board_told_is_not_settled_as_measured(stopped, miner_a, miner_b):
    """An estimated power is no reading; a hashrate that nobody read, or knew before, forgoes nobody knows what."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE miner_telemetry SET power_estimated = true WHERE miner_id = %s", [miner_a.pk])
        cursor.execute("UPDATE miner_telemetry SET hashrate = NULL WHERE miner_id = %s", [miner_b.pk])
    found = settle_plan(stopped)
    guessed, unread = (found.miners.get(miner=miner) for miner in (miner_a, miner_b))
    assert (guessed.kwh_avoided, guessed.saved, guessed.coverage) == (None, None, 0)
    assert guessed.forgone_usd > 0  # its hashrate was read all the same
    assert (unread.kwh_avoided, unread.forgone_usd) == (Decimal("3.220000"), None)
    assert (found.kwh_avoided, found.forgone_usd, found.coverage) == (
        Decimal("3.220000"),
        guessed.forgone_usd,
        Decimal("0.5"),
    )


def test_customers_add_up_to_the_total_and_machines_to_customers(stopped, client_a, client_b):
    found = settle_plan(stopped)
    rows = {row.client_id: row for row in SettlementClient.objects.filter(settlement=found)}
    assert set(rows) == {client_a.pk, client_b.pk}
    assert rows[client_a.pk].kwh_avoided == Decimal("3.220000")
    assert rows[client_a.pk].minutes == 60
    for field in ("kwh_avoided", "saved", "forgone_usd"):
        machines = SettlementMiner.objects.filter(settlement=found).values("client").annotate(total=Sum(field))
        assert {row["client"]: row["total"] for row in machines} == {
            pk: getattr(row, field) for pk, row in rows.items()
        }
    assert sum(row.kwh_avoided for row in rows.values()) == found.kwh_avoided
    assert sum(row.saved for row in rows.values()) == Decimal(found.saved["USD"])


def test_a_minute_without_a_reading_adds_nothing_and_lowers_the_coverage(site, owner, miner_a):
    begins = begun()
    price(site, begins, "0.10")
    read_minutes([miner_a], begins, 30, off=begins, on=begins + HOUR)  # then it is silent for half an hour
    found = settle_plan(over_plan(site, [miner_a], owner))
    assert found.kwh_avoided == Decimal("1.610000")
    assert found.coverage == Decimal("0.5")
    silent = list(found.intervals.all())[6:]
    assert [step.delivered_kw for step in silent] == [None] * 6
    assert {step.coverage for step in silent} == {0}


def test_a_machine_that_never_answered_has_no_energy_not_zero(site, owner, miner_a):
    found = settle_plan(over_plan(site, [miner_a], owner))
    assert (found.kwh_avoided, found.delivered_w, found.saved, found.coverage) == (None, None, {}, 0)
    stretch = ExcusedStretch.objects.get()
    assert (stretch.kwh_avoided, stretch.saved) == (None, None)
    assert excused_seconds([miner_a.pk], begun(), begun() + 2 * HOUR) == {miner_a.pk: 3600}  # off by leave nevertheless


def test_a_liar_that_drew_on_is_failed_and_gets_nothing(site, owner, miner_a, miner_b):
    begins = begun()
    read_minutes([miner_a, miner_b], begins, 60, off=begins, on=begins, awake_w="3000")
    plan = over_plan(site, [miner_a, miner_b], owner, confirmed_at=None)
    found = settle_plan(plan)
    assert (found.confirmed, found.failed) == (0, 2)
    assert found.kwh_avoided is None
    assert not ExcusedStretch.objects.exists()


def test_every_hour_has_its_own_price_and_an_unpriced_one_is_told(site, owner, miner_a):
    begins = begun()
    price(site, begins, "0.10", until=begins + timedelta(minutes=30))
    price(site, begins + timedelta(minutes=45), "0.40")
    read_minutes([miner_a], begins, 60, off=begins, on=begins + HOUR)
    found = settle_plan(over_plan(site, [miner_a], owner))
    assert found.kwh_avoided == Decimal("3.220000")
    assert found.unpriced_kwh == Decimal("0.805000")
    assert found.saved == {"USD": "0.483000"}  # 1.61 x 0.10 and 0.805 x 0.40


def test_a_stretch_is_cut_where_the_currency_changes(site, owner, miner_a):
    begins = begun()
    half = begins + timedelta(minutes=30)
    price(site, begins, "0.10", until=half)
    price(site, half, "0.20", currency="EUR")
    read_minutes([miner_a], begins, 60, off=begins, on=begins + HOUR)
    found = settle_plan(over_plan(site, [miner_a], owner))
    assert found.saved == {"EUR": "0.322000", "USD": "0.161000"}
    rows = list(ExcusedStretch.objects.order_by("starts_at").values_list("starts_at", "ends_at", "currency", "saved"))
    assert rows == [
        (begins, half, "USD", Decimal("0.161000")),
        (half, begins + HOUR, "EUR", Decimal("0.322000")),
    ]


def test_the_ledger_gets_each_machines_time_and_savings(stopped, miner_a, client_a):
    settle_plan(stopped)
    stretch = ExcusedStretch.objects.get(miner=miner_a)
    assert stretch.source == f"curtailment:{stopped.pk}"
    assert (stretch.client_id, stretch.starts_at, stretch.ends_at) == (client_a.pk, begun(), begun() + HOUR)
    (saved,) = savings(client_a.pk, stopped.site_id, begun(), begun() + HOUR)
    assert (saved.kwh_avoided, saved.saved) == (Decimal("3.220000"), Decimal("0.322000"))


def test_a_machines_minute_counts_for_one_plan_alone(site, owner, miner_a):
    """The second plan kept off what the first had stopped."""
    begins = begun()
    price(site, begins, "0.10")
    read_minutes([miner_a], begins, 120, off=begins, on=begins + 2 * HOUR)
    first = over_plan(site, [miner_a], owner, minutes=60)
    settle_plan(first)
    second = CurtailmentPlan.objects.get(pk=over_plan_held(site, miner_a, owner, begins + HOUR / 2).pk)
    found = settle_plan(second)
    (row,) = found.miners.all()
    assert (row.off_from, row.off_until) == (begins + HOUR, begins + 1.5 * HOUR)
    assert found.kwh_avoided == Decimal("1.610000")


def over_plan_held(site, miner, owner, begins):
    plan = over_plan(site, [], owner, begins=begins, minutes=60, target_mw="0.003")
    with connection.cursor() as cursor:  # targets of a plan that is over: the database refuses them, rightly
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE curtailment_plan_miners DISABLE TRIGGER USER")
        PlanMiner.objects.create(
            plan=plan,
            miner=miner,
            client=miner.client,
            shutdown_order=1,
            role="held",
            state="done",
            window=(begins, begins + HOUR),
            baseline_w=BASELINE_W,
            hashrate_ths=110,
            restoring_at=begins + HOUR,
            ended_at=begins + HOUR,
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE curtailment_plan_miners ENABLE TRIGGER USER")
    return plan


def test_settling_again_changes_nothing(stopped):
    first = settle_plan(stopped)
    assert settle_plan(stopped) == first
    assert Settlement.objects.count() == 1
    assert ExcusedStretch.objects.count() == 2
    event = OutboxEvent.objects.get(event_type="curtailment.settled")
    assert event.payload["content_hash"] == first.content_hash


def test_what_was_settled_cannot_be_changed(stopped):
    found = settle_plan(stopped)
    for rows, change in (
        (Settlement.objects.all(), {"kwh_avoided": 1}),
        (SettlementClient.objects.all(), {"saved": 1}),
        (SettlementMiner.objects.all(), {"saved": 1}),
        (found.intervals.all(), {"delivered_kw": 1}),
    ):
        with pytest.raises(DatabaseError, match="kept as written"), transaction.atomic():
            rows.update(**change)
        with pytest.raises(DatabaseError, match="kept as written"), transaction.atomic():
            rows._raw_delete(rows.db)
    assert verify(Settlement.objects.get())


def test_a_changed_digit_is_found(stopped):
    found = settle_plan(stopped)
    assert verify(found)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE curtailment_settlement_miners DISABLE TRIGGER USER")
        cursor.execute("UPDATE curtailment_settlement_miners SET saved = saved + 0.000001")
        cursor.execute("ALTER TABLE curtailment_settlement_miners ENABLE TRIGGER USER")
    assert not verify(found)


def test_a_plan_that_is_not_over_is_not_settled(site, owner, miner_a):
    with pytest.raises(NotSettleable, match="not over"):
        settle_plan(a_plan(site, [miner_a]))
    assert not Settlement.objects.exists()


def test_a_plan_is_due_once_the_readings_are_in(stopped):
    assert list(due()) == []
    TelemetrySweep.objects.create(
        site=stopped.site, minute=stopped.recovered_at + timedelta(minutes=1), miners=2, stored=2, wall_s=1, cpu_s=1
    )
    assert list(due()) == [stopped]
    settle_plan(stopped)
    assert list(due()) == []


def test_the_command_settles_and_tells(stopped, capsys):
    call_command("settle_curtailment", stopped.pk, json=True)
    (told,) = json.loads(capsys.readouterr().out)["settlements"]
    assert (told["kwh_avoided"], told["saved"], told["intact"]) == ("6.440000", {"USD": "0.644000"}, True)


def test_a_customer_reads_their_own_rows_behind_the_wall(stopped, client_a, client_b):
    settle_plan(stopped)
    with walled(client_a.pk):
        assert {row.client_id for row in SettlementClient.objects.all()} == {client_a.pk}
        assert {row.client_id for row in SettlementMiner.objects.all()} == {client_a.pk}
        assert Settlement.objects.values_list("plan_id", "baseline_method").count() == 1
    with walled(client_a.pk), pytest.raises(DatabaseError, match="permission denied"):
        list(Settlement.objects.values_list("kwh_avoided"))


def test_only_the_days_of_the_plan_are_read(stopped):
    begins = begun()
    offs = [(reckoning.Off(1, None, begins, begins + HOUR, BASELINE_W), None)]
    cut = [reckoning.Slot(begins, None, None, None)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) {measured.MEASURED}",
            measured.parameters(offs, cut, begins, begins + HOUR),
        )
        plan = json.dumps(cursor.fetchone()[0])
    days = {begins.date(), (begins + HOUR).date()}
    touched = set(re.findall(r"miner_telemetry_\w*?(\d{8}|\d{4}_\d\d_\d\d)", plan))
    assert 1 <= len(touched) <= len(days)


@pytest.mark.storm
def test_six_thousand_machines_and_four_hours_are_settled_in_seconds(site, owner, client_a, client_b, catalogue):
    model = catalogue.get(name="S19 Pro")
    miners = Miner.objects.bulk_create(
        [
            Miner(serial_number=f"S-{n:05}", site=site, miner_model=model, client=(client_a, client_b)[n % 2])
            for n in range(6000)
        ],
        batch_size=2000,
    )
    begins = begun() - 2 * HOUR
    for hour in range(6):
        price(site, begins + hour * HOUR, f"0.1{hour}", until=begins + (hour + 1) * HOUR)
        hashprice(begins + hour * HOUR, f"5{hour}")
    read_minutes(miners, begins, 240, off=begins, on=begins + 4 * HOUR)
    plan = over_plan(site, miners, owner, begins=begins, minutes=240)
    clock = time.perf_counter()
    found = settle_plan(plan)
    took_s = time.perf_counter() - clock
    print(f"6,000 machines, 4 h, {6000 * 240:,} readings: settled in {took_s:.1f} s")
    assert found.kwh_avoided == 6000 * 4 * Decimal("3.22")
    assert found.miners.count() == 6000
    assert took_s < 60
