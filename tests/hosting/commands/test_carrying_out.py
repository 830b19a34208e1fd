"""Orders carried out over real TCP: sent once, logged before, believed only when measured."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from events.models import OutboxEvent
from hosting.commands import order_machines, work_commands
from hosting.control import Order
from hosting.models import Miner, MinerCommand, MinerIdentity, OperationLog
from hosting.states import CommandStatus
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def factory_logins(settings):
    settings.MINEFARM_FACTORY_LOGINS = True


def of_make(miners, maker):
    return Miner.objects.filter(pk__in=[one.pk for one in miners], miner_model__manufacturer=maker)


def statuses(batch) -> dict[str, int]:
    return {status: count for status, count in batch.counts().items() if count}


@pytest.mark.storm
def test_sleep_and_wake_are_confirmed_by_measurement(fleet, operator):
    miners = fleet(12, 50)
    commanded = Miner.objects.filter(miner_model__manufacturer__in=["Bitmain", "MicroBT"])
    batch = order_machines(commanded, Order.SLEEP, reason="test of the feed", by=operator)
    assert statuses(batch) == {"queued": len(commanded)}
    work_commands(seconds=25, batch_id=batch.pk)
    assert statuses(batch) == {"confirmed": len(commanded)}, list(batch.commands.values_list("status", "detail"))
    batch.refresh_from_db()
    assert batch.finished_at is not None
    command = batch.commands.first()
    assert command.detail.startswith("measured: it reports ")
    assert command.before["answered"] is True
    assert command.accepted_at >= command.sent_at
    lines = OperationLog.objects.filter(operation="sleep")
    assert lines.count() == len(commanded)
    assert set(lines.values_list("details", "performed_by")) == {(f"batch {batch.pk}: test of the feed", operator.pk)}
    for line in lines:
        assert line.timestamp <= batch.commands.get(miner=line.miner_id).accepted_at
    finished = OutboxEvent.objects.get(event_type="miner.commands_finished")
    assert finished.payload["results"]["confirmed"] == len(commanded)
    assert len(miners) == 12


@pytest.mark.storm
def test_each_machine_ends_with_its_own_result(fleet, operator):
    """Two of twenty are of a make that no one commands, two do not answer."""
    fleet(20, 51, "--fault", "refuse=0.1")
    batch = order_machines(Miner.objects.all(), Order.SLEEP, reason="test", by=operator)
    work_commands(seconds=40, batch_id=batch.pk)
    found = dict(batch.commands.values_list("miner__miner_model__manufacturer", "status"))
    counted = statuses(batch)
    assert counted.keys() <= {"confirmed", "failed", "unsupported"}, counted
    assert counted["failed"] >= 2
    assert found["Canaan"] in {"unsupported", "failed"}
    dead = batch.commands.filter(detail__startswith="it does not answer")
    assert dead.count() == 2
    assert set(dead.values_list("attempts", flat=True)) == {1}
    assert OutboxEvent.objects.filter(event_type="miner.command_failed").count() == counted["failed"]
    assert sum(counted.values()) == 20


@pytest.mark.parametrize(
    ("number", "fault", "orders"),
    [
        (52, "ignores", [Order.SLEEP]),
        pytest.param(58, "refuses_wake", [Order.SLEEP, Order.WAKE], marks=pytest.mark.storm),
    ],
)
def test_a_machine_that_says_yes_and_does_nothing_ends_as_failed(fleet, operator, monkeypatch, number, fault, orders):
    from hosting.commands import judging

    whatsminers = of_make(fleet(6, number, "--fault", f"{fault}=1.0"), "MicroBT")
    for order in orders[:-1]:
        batch = order_machines(whatsminers, order, reason="test", by=operator)
        work_commands(seconds=25, batch_id=batch.pk)
        assert set(statuses(batch)) == {"confirmed"}
    monkeypatch.setitem(judging.CONFIRM_WITHIN, orders[-1], timedelta(seconds=4))
    batch = order_machines(whatsminers, orders[-1], reason="test", by=operator)
    work_commands(seconds=20, batch_id=batch.pk)
    assert set(statuses(batch)) == {"failed"}
    assert batch.commands.first().detail.startswith("it said yes, but did not do it: it reports ")


def test_two_workers_at_once_send_every_packet_once(fleet, operator):
    fleet(30, 53)
    miners = Miner.objects.filter(miner_model__manufacturer="MicroBT")
    batch = order_machines(miners, Order.SLEEP, reason="test", by=operator)

    def work():
        work_commands(seconds=20, batch_id=batch.pk)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(statuses(batch)) == {"confirmed"}
    assert set(batch.commands.values_list("attempts", flat=True)) == {1}
    assert OperationLog.objects.filter(operation="sleep").count() == batch.miners


def lost(batch, **values):
    """Rows as a worker leaves them that died between the log line and the answer."""
    batch.commands.update(
        status=CommandStatus.SENT,
        attempts=1,
        sent_at=database_now(),
        claimed_by="dead:1:x",
        claimed_until=database_now() - timedelta(seconds=1),
        before={"at": database_now().isoformat(), "power_w": 3400.0, "power_measured": True, "hashrate_ths": 110.0},
        **values,
    )


@pytest.mark.storm
def test_what_a_dead_worker_left_is_measured_and_sent_again_where_harmless(fleet, operator):
    miners = of_make(fleet(20, 54), "MicroBT")
    batch = order_machines(miners, Order.SLEEP, reason="test", by=operator)
    lost(batch)
    work_commands(seconds=25, batch_id=batch.pk)
    assert set(statuses(batch)) == {"confirmed"}
    assert set(batch.commands.values_list("attempts", flat=True)) == {2}  # it hashed on, so it had not heard
    again = order_machines(miners, Order.SLEEP, reason="test", by=operator)
    lost(again)
    work_commands(seconds=25, batch_id=again.pk)
    assert set(statuses(again)) == {"confirmed"}
    assert set(again.commands.values_list("attempts", flat=True)) == {1}  # it sleeps: nothing is sent


@pytest.mark.storm
def test_a_reboot_that_may_have_gone_out_is_not_sent_twice(fleet, operator):
    miners = of_make(fleet(20, 55), "MicroBT")[:1]
    batch = order_machines(Miner.objects.filter(pk__in=[miners[0].pk]), Order.REBOOT, reason="test", by=operator)
    lost(batch)
    work_commands(seconds=3, batch_id=batch.pk)
    command = batch.commands.get()
    assert (command.status, command.attempts) == ("sent", 1)
    assert len(command.after) >= 2


def test_the_row_and_the_log_line_stand_before_the_packet(site, make_miner, operator):
    """A device that looks into the database when the packet arrives."""
    import socket

    make_miner("W-1", cgminer_ip="127.0.0.1", cgminer_port=1025)
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        Miner.objects.update(cgminer_port=door.getsockname()[1])
        MinerIdentity.objects.create(miner=Miner.objects.get(), make="Avalon", model="A1246")

        def serve():
            while True:
                try:
                    visitor, _ = door.accept()
                except OSError:
                    return
                with visitor:
                    asked = visitor.recv(4096).decode()
                    if '"version"' in asked:
                        visitor.sendall(
                            b'{"STATUS":[{"STATUS":"S","When":1,"Code":22}],"VERSION":[{"PROD":"AvalonMiner"}]}\0'
                        )
                    if "ascset" in asked:
                        lines = OperationLog.objects.filter(operation="sleep").count()
                        seen.append((lines, MinerCommand.objects.get().status))
                        visitor.sendall(b'{"STATUS":[{"STATUS":"I","Code":119,"Msg":"success softoff"}],"id":1}\0')
            connection.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        order_machines(Miner.objects.all(), Order.SLEEP, reason="test", by=operator)
        work_commands()
        door.shutdown(socket.SHUT_RDWR)
        server.join(timeout=5)
    assert seen
    assert set(seen) == {(1, "sent")}


@pytest.mark.parametrize(("number", "maker", "known_before"), [(56, "Bitmain", False), (57, "MicroBT", True)])
def test_another_machine_at_the_address_is_flagged_and_never_commanded(fleet, operator, number, maker, known_before):
    """Antminers tell the serial number of their label; others are known once they have been commanded."""
    one, two = of_make(fleet(20, number), maker)[:2]
    chosen = Miner.objects.filter(pk__in=[one.pk, two.pk])
    if known_before:
        first = order_machines(chosen, Order.LOCATE, reason="test", by=operator)
        work_commands(seconds=10, batch_id=first.pk)
        assert MinerIdentity.objects.exclude(mac=None).count() == 2
    Miner.objects.filter(pk=one.pk).update(cgminer_ip=None)
    Miner.objects.filter(pk=two.pk).update(cgminer_ip=one.cgminer_ip)
    Miner.objects.filter(pk=one.pk).update(cgminer_ip=two.cgminer_ip)
    batch = order_machines(chosen, Order.SLEEP, reason="test", by=operator)
    work_commands(seconds=5, batch_id=batch.pk)
    assert set(batch.commands.values_list("status", "sent_at")) == {("failed", None)}
    assert MinerIdentity.objects.exclude(mismatch=None).count() == 2
    assert OutboxEvent.objects.filter(event_type="miner.identity_mismatch").count() == 2
    again = order_machines(chosen, Order.SLEEP, reason="test", by=operator)
    assert statuses(again) == {"failed": 2}
    assert "another machine answers at its address" in again.commands.first().detail
    assert not OperationLog.objects.filter(operation="sleep").exists()


def test_what_is_late_expires_and_is_not_sent(site, make_miner, operator):
    make_miner("W-1", cgminer_ip="127.20.0.1")
    batch = order_machines(
        Miner.objects.all(), Order.SLEEP, reason="test", expires_after=timedelta(microseconds=1), by=operator
    )
    worked = work_commands()
    assert worked.moved == {"expired": 1}
    assert batch.commands.get().detail == "not done in time: given up"
    assert not OperationLog.objects.exists()
    batch.refresh_from_db()
    assert batch.finished_at is not None


def test_maintenance_that_begins_meanwhile_is_respected(site, make_miner, operator):
    make_miner("W-1", cgminer_ip="127.20.0.1")
    batch = order_machines(Miner.objects.all(), Order.SLEEP, reason="test", by=operator)
    Miner.objects.update(status="maintenance")
    work_commands()
    assert batch.commands.get().detail.startswith("it is in maintenance")
    assert not OperationLog.objects.exists()


def test_an_address_that_slipped_in_is_never_connected_to(site, make_miner, operator, settings):
    import socket
    from ipaddress import ip_network

    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.2)
        make_miner("W-1", cgminer_ip="127.0.0.1", cgminer_port=door.getsockname()[1])
        batch = order_machines(Miner.objects.all(), Order.SLEEP, reason="test", by=operator)
        settings.POLL_CIDRS = [ip_network("10.0.0.0/8")]
        work_commands()
        assert batch.commands.get().status == "failed"
        assert "loopback" in batch.commands.get().detail
        with pytest.raises(TimeoutError):
            door.accept()
