"""Maintenance tickets from opening to closing, and who reads what of them."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from events.models import OutboxEvent
from hosting import services, tickets
from hosting.excused import excused_seconds
from hosting.models import MaintenanceTicket, Miner, OperationLog, TicketComment, TicketPart
from hosting.states import TICKET_MOVES, Fault, TicketStatus
from hosting.tickets import IllegalTicketMove, move_ticket, next_moves, open_ticket
from minefarm.lib.rls import walled

pytestmark = pytest.mark.django_db
TICKETS = "/admin/hosting/maintenanceticket/"


def status_of(miner):
    return Miner.objects.values_list("status", flat=True).get(pk=miner.pk)


# --- verbs --------------------------------------------------------------------------------------------------------------


def test_opening_takes_the_machine_out_and_resolving_brings_it_back(miner_a, operator, client_a):
    ticket = open_ticket(miner_a, "Board 2 is missing", note="seen in the log", by=operator)
    assert (status_of(miner_a), ticket.took_out, ticket.client) == ("maintenance", True, client_a)
    move_ticket(ticket, TicketStatus.IN_PROGRESS, by=operator)
    move_ticket(ticket, TicketStatus.RESOLVED, by=operator)
    assert status_of(miner_a) == "active"
    assert ticket.ends_at is not None
    assert ticket.ends_at >= ticket.starts_at
    move_ticket(ticket, TicketStatus.CLOSED, by=operator)
    assert ticket.closed_at is not None
    assert list(OperationLog.objects.order_by("id").values_list("operation", "details")) == [
        ("maintenance", f"ticket {ticket.pk}: Board 2 is missing"),
        ("activate", f"ticket {ticket.pk} resolved"),
    ]
    events = OutboxEvent.objects.filter(event_type__startswith="ticket.").order_by("id")
    assert [(event.event_type, event.client_id) for event in events] == [
        ("ticket.opened", client_a.pk),
        ("ticket.closed", client_a.pk),
    ]


def test_the_last_of_two_tickets_brings_the_machine_back(miner_a, operator):
    first = open_ticket(miner_a, "Fan", by=operator)
    second = open_ticket(miner_a, "PSU", by=operator)
    assert (first.took_out, second.took_out) == (True, False)
    move_ticket(first, TicketStatus.CLOSED, by=operator)
    assert status_of(miner_a) == "maintenance"
    second.refresh_from_db()
    move_ticket(second, TicketStatus.RESOLVED, by=operator)
    assert status_of(miner_a) == "active"


def test_maintenance_by_hand_and_curtailment_are_left_alone(miner_a, miner_b, operator):
    services.start_maintenance(Miner.objects.filter(pk=miner_a.pk), by=operator)
    move_ticket(open_ticket(miner_a, "Fan", by=operator), TicketStatus.RESOLVED, by=operator)
    assert status_of(miner_a) == "maintenance"
    Miner.objects.filter(pk=miner_b.pk).update(status="curtailed")
    assert open_ticket(miner_b, "Fan", by=operator).took_out is False
    assert status_of(miner_b) == "curtailed"


@pytest.mark.parametrize("source", TicketStatus.values)
def test_only_legal_moves_happen(miner_a, operator, source):
    for to in TicketStatus:
        ticket = open_ticket(miner_a, "Fan", take_out=False, by=operator)
        MaintenanceTicket.objects.filter(pk=ticket.pk).update(status=source, rma_number="R-1")
        if source in TICKET_MOVES.get(to, ()):
            assert move_ticket(ticket, to, by=operator).status == to
        else:
            with pytest.raises(IllegalTicketMove):
                move_ticket(ticket, to, by=operator)
            ticket.refresh_from_db()
            assert ticket.status == source
            assert next_moves(ticket) == [known for known in TICKET_MOVES if source in TICKET_MOVES[known]]


def test_sending_away_needs_the_vendors_number(miner_a, operator):
    ticket = open_ticket(miner_a, "Board", by=operator)
    with pytest.raises(IllegalTicketMove, match="Give the RMA number"):
        move_ticket(ticket, TicketStatus.RMA_SENT, by=operator)
    move_ticket(ticket, TicketStatus.RMA_SENT, rma_number="RMA-77", rma_vendor="Bitmain", by=operator)
    assert (ticket.status, ticket.rma_number, ticket.rma_vendor) == ("rma_sent", "RMA-77", "Bitmain")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_move_a_ticket_at_once_one_is_refused(miner_a, operator):
    ticket = open_ticket(miner_a, "Fan", by=operator)
    outcomes = []
    start = threading.Barrier(2)

    def close():
        mine = MaintenanceTicket.objects.get(pk=ticket.pk)
        start.wait()
        try:
            move_ticket(mine, TicketStatus.CLOSED, by=operator)
            outcomes.append("closed")
        except IllegalTicketMove:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["closed", "refused"]
    assert OutboxEvent.objects.filter(event_type="ticket.closed").count() == 1


# --- minutes for the bill -----------------------------------------------------------------------------------------------


def test_excused_time_is_of_others_faults_once_and_within_the_range(miner_a, miner_b, operator):
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def out(miner, fault, start, end):
        ticket = open_ticket(
            miner, "x", fault=fault, starts_at=noon + timedelta(minutes=start), take_out=False, by=operator
        )
        MaintenanceTicket.objects.filter(pk=ticket.pk).update(ends_at=end and noon + timedelta(minutes=end))

    out(miner_a, Fault.VENDOR, -30, 20)
    out(miner_a, Fault.CLIENT, 10, 40)
    out(miner_a, Fault.FARM, 0, 60)
    out(miner_a, Fault.VENDOR, 100, None)
    out(miner_b, Fault.FARM, 0, 60)
    both = [miner_a.pk, miner_b.pk]
    assert excused_seconds(both, noon, noon + timedelta(minutes=120)) == {miner_a.pk: 3600}
    assert excused_seconds(both, noon, noon + timedelta(minutes=120), faults=[Fault.FARM]) == {
        miner_a.pk: 3600,
        miner_b.pk: 3600,
    }


# --- who sees what ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(miner_a, miner_b, operator):
    """A ticket of each customer, with an internal and an open comment and a part."""
    made = []
    for miner in (miner_a, miner_b):
        ticket = open_ticket(miner, f"Ticket of {miner}", note=f"internal {miner}", by=operator)
        tickets.add_comment(ticket, f"for {miner}", internal=False, by=operator)
        TicketPart.objects.create(ticket=ticket, name="fan 12038")
        made.append(ticket)
    return made


def test_a_customer_reads_their_own_tickets_without_internal_words(client, client_a, two, miner_a, operator):
    mine, foreign = two
    client.force_login(client_a)
    page = client.get("/tickets/").text
    assert "Ticket of A-0001" in page
    assert "B-0001" not in page
    detail = client.get(f"/tickets/{mine.pk}/").text
    assert "for A-0001" in detail
    assert "fan 12038" in detail
    assert "internal A-0001" not in detail
    assert operator.name not in detail
    assert "Ticket of A-0001" in client.get(f"/miners/{miner_a.pk}/").text
    assert client.get(f"/tickets/{foreign.pk}/").status_code == 404
    (row,) = client.get("/api/v1/tickets/").json()["results"]
    assert row["id"] == mine.pk
    assert {"assigned_to", "opened_by", "took_out"} & set(row) == set()
    comments = client.get(f"/api/v1/tickets/{mine.pk}/comments/").json()
    assert [comment["text"] for comment in comments] == ["for A-0001"]
    assert client.get(f"/api/v1/tickets/{foreign.pk}/").status_code == 404
    assert client.get(f"/api/v1/tickets/{foreign.pk}/comments/").status_code == 404


def test_behind_the_wall_only_ones_own_rows_are_there_even_unfiltered(client_a, two):
    mine, _ = two
    with walled(client_a.pk):
        assert list(MaintenanceTicket.objects.values_list("pk", flat=True)) == [mine.pk]
        assert list(TicketComment.objects.values_list("text", flat=True)) == ["for A-0001"]
        assert TicketPart.objects.values_list("ticket_id", flat=True).get() == mine.pk
        assert Miner.objects.values_list("retired_at", "warranty_start").count() == 1
    for sql in (
        "SELECT opened_by_id FROM maintenance_tickets",
        "SELECT author_id FROM maintenance_ticket_comments",
        "SELECT rack_id FROM hosting_miners",
        "SELECT warranty_order FROM hosting_miners",
        "SELECT * FROM hosting_racks",
        "SELECT * FROM hosting_circuits",
        "UPDATE maintenance_tickets SET fault = 'farm'",
    ):
        with pytest.raises(Exception, match="permission denied"), walled(client_a.pk), connection.cursor() as cursor:
            cursor.execute(sql)


def test_a_machine_that_is_sold_takes_no_tickets_along(client, client_a, client_b, two, miner_a):
    services.assign_miners(Miner.objects.filter(pk=miner_a.pk), client=client_b, by=client_a)
    client.force_login(client_b)
    assert "Ticket of A-0001" not in client.get("/tickets/").text
    client.force_login(client_a)
    assert client.get("/api/v1/tickets/").json()["results"][0]["title"] == "Ticket of A-0001"


def test_a_guest_sees_no_tickets(client, guest, two):
    client.force_login(guest)
    assert client.get("/tickets/").status_code == 404
    assert client.get("/api/v1/tickets/").status_code == 403


def test_staff_limited_to_a_site_see_its_tickets_alone(client, operator, two, site):
    operator.site_limits.create(site_id=site.pk)
    client.force_login(operator)
    assert len(client.get("/api/v1/tickets/").json()["results"]) == 2
    Miner.objects.filter(serial_number="A-0001").update(site=None)
    assert [row["serial_number"] for row in client.get("/api/v1/tickets/").json()["results"]] == ["B-0001"]
    assert client.get(f"/tickets/{two[0].pk}/").status_code == 404


# --- doors --------------------------------------------------------------------------------------------------------------


def test_the_api_opens_moves_and_refuses(client, operator, client_a, miner_a):
    client.force_login(operator)
    sent = {"miner_id": miner_a.pk, "title": "Board 2", "fault": "vendor", "note": "hot"}
    made = client.post("/api/v1/tickets/", sent, "application/json")
    assert made.status_code == 201, made.content
    assert (made.json()["status"], made.json()["took_out"], made.json()["opened_by"]) == ("open", True, operator.email)
    path = f"/api/v1/tickets/{made.json()['id']}/"
    refused = client.post(f"{path}move/", {"to": "rma_sent"}, "application/json")
    assert refused.status_code == 409
    assert "rma_number" in refused.json()["error"]["message"]
    moved = client.post(f"{path}move/", {"to": "rma_sent", "rma_number": "77"}, "application/json")
    assert (moved.status_code, moved.json()["status"]) == (200, "rma_sent")
    assert client.patch(path, {"miner_id": miner_a.pk}, "application/json").status_code == 400
    assert client.patch(path, {"fault": "client"}, "application/json").json()["fault"] == "client"
    early = client.patch(path, {"ends_at": "2020-01-01T00:00:00Z"}, "application/json")
    assert early.status_code == 400
    assert client.delete(path).status_code in {403, 405}
    client.force_login(client_a)
    assert client.post("/api/v1/tickets/", sent, "application/json").status_code == 403
    assert client.patch(path, {"fault": "farm"}, "application/json").status_code == 403
    for verb in ("move/", "comments/"):
        assert client.post(f"{path}{verb}", {"to": "closed", "text": "x"}, "application/json").status_code in {403, 404}
    assert MaintenanceTicket.objects.get().status == "rma_sent"


def test_staff_work_on_tickets_in_admin(client, operator, miner_a):
    client.force_login(operator)
    assert client.get(f"{TICKETS}add/").status_code == 200
    inlines = {"comments-TOTAL_FORMS": 1, "comments-INITIAL_FORMS": 0, "parts-TOTAL_FORMS": 0, "parts-INITIAL_FORMS": 0}
    now = timezone.now()
    form = {
        "miner": miner_a.pk,
        "title": "Fan 3",
        "fault": "unknown",
        "starts_at_0": f"{now:%Y-%m-%d}",
        "starts_at_1": f"{now:%H:%M:%S}",
        "take_out": "on",
        "comments-0-text": "ordered",
        **inlines,
    }
    saved = client.post(f"{TICKETS}add/", form, follow=True)
    ticket = MaintenanceTicket.objects.get()
    assert saved.status_code == 200
    assert (ticket.opened_by, ticket.took_out, status_of(miner_a)) == (operator, True, "maintenance")
    assert TicketComment.objects.get().author == operator
    assert client.get(TICKETS).status_code == 200
    assert client.get(f"{TICKETS}{ticket.pk}/change/").status_code == 200
    act = {"action": "to_resolved", "_selected_action": [ticket.pk]}
    client.post(TICKETS, act, follow=True)
    assert status_of(miner_a) == "active"
    assert client.post(f"{TICKETS}{ticket.pk}/delete/", {"post": "yes"}).status_code == 403
