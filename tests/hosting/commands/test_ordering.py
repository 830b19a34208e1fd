"""Who may order what of which machines, and what stands in the rows before anything is sent."""

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from hosting.commands import KeyReused, NoMachines, NotAllowed, WrongOrder, order_machines
from hosting.control import Order
from hosting.models import CommandBatch, Miner, MinerCommand, MinerIdentity, Site
from hosting.states import COMMAND_MOVES, OPEN_COMMANDS, CommandStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def miners(make_miner):
    for number in range(1, 6):
        make_miner(f"M-{number}", cgminer_ip=f"127.20.0.{number}")
    return Miner.objects.all()


def test_a_batch_has_one_row_for_each_machine(miners, operator):
    batch = order_machines(miners, Order.POWER_LIMIT, watts=2800, reason=" hot day ", by=operator)
    assert (batch.order, batch.watts, batch.reason, batch.requested_by, batch.miners) == (
        "set_power_limit",
        2800,
        "hot day",
        operator,
        5,
    )
    assert (batch.expires_at - batch.created_at).total_seconds() == pytest.approx(600, abs=5)
    assert batch.counts() == dict.fromkeys(CommandStatus.values, 0) | {"queued": 5}


@pytest.mark.parametrize(
    ("order", "watts", "reason", "told"),
    [
        (Order.SLEEP, None, "  ", "Say why"),
        (Order.SLEEP, 2800, "test", "with no other order"),
        (Order.POWER_LIMIT, None, "test", "Give watts"),
        (Order.POWER_LIMIT, 50, "test", "100 to 20000"),
        (Order.SLEEP, None, "x" * 501, "at most 500"),
        (Order.SLEEP, None, "a\0b", "plain text"),
    ],
)
def test_a_wrong_order_is_refused_with_what_to_give(miners, operator, order, watts, reason, told):
    with pytest.raises(WrongOrder, match=told):
        order_machines(miners, order, watts=watts, reason=reason, by=operator)
    assert not CommandBatch.objects.exists()


def test_customers_and_guests_command_nothing(miners, client_a, guest):
    Miner.objects.update(client=client_a)
    for person in (client_a, guest):
        with pytest.raises(NotAllowed):
            order_machines(miners, Order.SLEEP, reason="test", by=person)
    assert not CommandBatch.objects.exists()


def test_staff_limited_to_a_site_command_its_machines_alone(miners, operator, make_miner, owner):
    from accounts.models import SiteLimit

    south = Site.objects.create(name="South")
    there = make_miner("S-1", site=south, cgminer_ip="127.20.1.1")
    SiteLimit.objects.create(user=operator, site_id=south.pk)
    operator.refresh_from_db()
    batch = order_machines(Miner.objects.all(), Order.SLEEP, reason="test", by=operator)
    assert list(batch.commands.values_list("miner", flat=True)) == [there.pk]
    with pytest.raises(NoMachines):
        order_machines(Miner.objects.exclude(pk=there.pk), Order.SLEEP, reason="test", by=operator)
    north = order_machines(Miner.objects.exclude(pk=there.pk), Order.SLEEP, reason="test", by=owner)
    assert list(CommandBatch.objects.for_user(operator)) == [batch]
    assert not MinerCommand.objects.for_user(operator).filter(batch=north).exists()


def test_machines_that_are_never_commanded_fail_at_once_with_the_reason(miners, operator):
    held, strange, nowhere, outside, fine = miners.order_by("serial_number")
    Miner.objects.filter(pk=held.pk).update(status="maintenance")
    MinerIdentity.objects.create(miner=strange, mismatch="serial number X-9")
    Miner.objects.filter(pk=nowhere.pk).update(cgminer_ip=None)
    Miner.objects.filter(pk=outside.pk).update(cgminer_ip="8.8.8.8")
    batch = order_machines(miners, Order.SLEEP, reason="test", by=operator)
    found = dict(batch.commands.values_list("miner__serial_number", "detail"))
    assert "maintenance" in found["M-1"]
    assert "serial number X-9" in found["M-2"]
    assert "no address" in found["M-3"]
    assert "MINEFARM_POLL_CIDRS" in found["M-4"]
    assert found["M-5"] == ""
    assert batch.counts()["failed"] == 4
    assert batch.commands.get(miner=fine).status == "queued"
    assert batch.finished_at is None


def test_a_machine_has_one_open_command(miners, operator):
    first = order_machines(miners, Order.SLEEP, reason="test", by=operator)
    second = order_machines(miners, Order.WAKE, reason="test", by=operator)
    assert first.counts()["queued"] == 5
    assert second.counts()["failed"] == 5
    assert second.finished_at is not None
    assert "under way" in second.commands.first().detail
    row = first.commands.first()
    with pytest.raises(IntegrityError), transaction.atomic():
        MinerCommand.objects.create(batch=second, miner_id=row.miner_id)


def test_the_same_key_gives_the_same_batch_and_another_order_is_refused(miners, operator, admin):
    first = order_machines(miners, Order.SLEEP, reason="test", idempotency_key="k-1", by=operator)
    again = order_machines(miners, Order.SLEEP, reason="again", idempotency_key="k-1", by=operator)
    assert again == first
    with pytest.raises(KeyReused, match=f"batch {first.pk}"):
        order_machines(miners, Order.WAKE, reason="test", idempotency_key="k-1", by=operator)
    assert CommandBatch.objects.count() == 1
    assert order_machines(miners, Order.SLEEP, reason="test", idempotency_key="k-1", by=admin) != first
    system = order_machines(miners, Order.SLEEP, reason="test", idempotency_key="k-1", by=None)
    assert order_machines(miners, Order.SLEEP, reason="test", idempotency_key="k-1", by=None) == system


def test_moves_lead_out_of_open_states_only():
    for target, sources in COMMAND_MOVES.items():
        assert set(sources) <= set(OPEN_COMMANDS), target


@pytest.mark.django_db(transaction=True)
def test_ten_orders_at_once_leave_one_open_command_for_each_machine(miners, operator):
    failures = []

    def order(number: int) -> None:
        try:
            key = f"k-{number % 2}"
            order_machines(Miner.objects.all(), Order.SLEEP, reason="test", idempotency_key=key, by=operator)
        except Exception as error:  # noqa: BLE001  shown below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=order, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert CommandBatch.objects.count() == 2
    assert MinerCommand.objects.open().count() == 5
    assert MinerCommand.objects.count() == 10
