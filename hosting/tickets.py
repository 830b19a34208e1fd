"""What people do with maintenance tickets; each verb is one door's call, and a move of a status one UPDATE."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from accounts.models import User
from events.outbox import publish
from hosting import services
from hosting.models import MaintenanceTicket, Miner, TicketComment
from hosting.states import TICKET_MOVES, Fault, TicketStatus


class IllegalTicketMove(Exception):
    """The ticket is in a state from which it cannot go there; nothing was changed."""


@transaction.atomic
def open_ticket(
    miner: Miner,
    title: str,
    *,
    note: str = "",
    fault: Fault = Fault.UNKNOWN,
    starts_at: datetime | None = None,
    assigned_to: User | None = None,
    take_out: bool = True,
    by: User | None,
) -> MaintenanceTicket:
    """Open a ticket; with `take_out` an active or offline machine goes into maintenance, and is brought back at the end."""
    ticket = MaintenanceTicket.objects.create(
        miner=miner,
        client_id=miner.client_id,
        serial_number=miner.serial_number,
        title=title,
        fault=fault,
        starts_at=starts_at or timezone.now(),
        assigned_to=assigned_to,
        opened_by=by,
    )
    if note:
        add_comment(ticket, note, by=by)
    if take_out:
        reason = f"ticket {ticket.pk}: {title}"
        ticket.took_out = bool(services.start_maintenance(Miner.objects.filter(pk=miner.pk), reason=reason, by=by))
        ticket.save(update_fields=["took_out"])
    _publish("ticket.opened", ticket)
    return ticket


@transaction.atomic
def take_over(miner: Miner, title: str, *, note: str, by: User | None) -> MaintenanceTicket:
    """A person's from now on: the machine's open ticket with the note, else a new one, and maintenance until it ends."""
    Miner.objects.filter(pk=miner.pk).select_for_update(no_key=True).values_list("pk").first()
    ticket = MaintenanceTicket.objects.unfinished().filter(miner=miner).order_by("pk").first()
    if ticket is None:
        return open_ticket(miner, title, note=note, by=by)
    add_comment(ticket, f"{title}: {note}", by=by)
    if services.start_maintenance(Miner.objects.filter(pk=miner.pk), reason=f"ticket {ticket.pk}: {title}", by=by):
        MaintenanceTicket.objects.filter(pk=ticket.pk).update(took_out=True)
    ticket.refresh_from_db()
    return ticket


@transaction.atomic
def move_ticket(
    ticket: MaintenanceTicket,
    to: TicketStatus,
    *,
    rma_number: str = "",
    rma_vendor: str = "",
    bring_back: bool = True,
    by: User | None,
) -> MaintenanceTicket:
    """Move a ticket, in one UPDATE; raises IllegalTicketMove.

    Resolved and closed end the stretch without the machine. With `bring_back` a machine that tickets put into maintenance
    is active again, once none of them holds it any more. A ticket that is opened again does not take it out again: work on
    it may need it running.
    """
    now = timezone.now()
    values: dict[str, Any] = {"status": to, "updated_at": now}
    if rma_number:
        values["rma_number"] = rma_number
    if rma_vendor:
        values["rma_vendor"] = rma_vendor
    if to in {TicketStatus.RESOLVED, TicketStatus.CLOSED}:
        values["ends_at"] = Coalesce("ends_at", Greatest(F("starts_at"), now))
    else:
        values["ends_at"] = None
    if to == TicketStatus.CLOSED:
        values["closed_at"] = now
    legal = Q(status__in=TICKET_MOVES.get(to, ()))
    if to == TicketStatus.RMA_SENT and not rma_number:
        legal &= Q(rma_number__isnull=False) & ~Q(rma_number="")
    moved = MaintenanceTicket.objects.filter(legal, pk=ticket.pk).update(**values)
    ticket.refresh_from_db()
    if not moved:
        raise IllegalTicketMove(_why_not(ticket, to))
    if bring_back and to in {TicketStatus.RESOLVED, TicketStatus.CLOSED}:
        _bring_back(ticket, by=by)
    if to == TicketStatus.CLOSED:
        _publish("ticket.closed", ticket)
    return ticket


def add_comment(ticket: MaintenanceTicket, text: str, *, internal: bool = True, by: User | None) -> TicketComment:
    """Write to a ticket, closed ones too; the customer reads what is not internal."""
    return TicketComment.objects.create(ticket=ticket, text=text, internal=internal, author=by)


def next_moves(ticket: MaintenanceTicket) -> list[TicketStatus]:
    """States that the ticket may go to from where it is."""
    return [to for to, sources in TICKET_MOVES.items() if ticket.status in sources]


def _bring_back(ticket: MaintenanceTicket, *, by: User | None) -> None:
    """Only what tickets took out, and only when the last of them lets go: maintenance by hand stays."""
    if not ticket.took_out:
        return
    others = MaintenanceTicket.objects.unfinished().filter(miner=ticket.miner_id).exclude(pk=ticket.pk)
    # Two tickets that end at the same moment: the machine's row makes one wait for the other.
    Miner.objects.filter(pk=ticket.miner_id).select_for_update(no_key=True).values_list("pk").first()
    if heir := others.order_by("pk").first():
        MaintenanceTicket.objects.filter(pk=heir.pk).update(took_out=True)
    else:
        reason = f"ticket {ticket.pk} {ticket.get_status_display().lower()}"
        services.end_maintenance(Miner.objects.filter(pk=ticket.miner_id), reason=reason, by=by)
    MaintenanceTicket.objects.filter(pk=ticket.pk).update(took_out=False)
    ticket.took_out = False


def _why_not(ticket: MaintenanceTicket, to: TicketStatus) -> str:
    if ticket.status in TICKET_MOVES.get(to, ()):
        return "Give the RMA number that the vendor told you: rma_number."
    possible = ", ".join(next_moves(ticket))
    if not possible:
        return f"Ticket {ticket.pk} is closed and stays so: open another one."
    return f"Ticket {ticket.pk} is {ticket.status} and cannot become {to}. From here: {possible}."


def _publish(event_type: str, ticket: MaintenanceTicket) -> None:
    publish(
        event_type,
        about=f"ticket:{ticket.pk}",
        client_id=ticket.client_id,
        ticket_id=ticket.pk,
        miner_id=ticket.miner_id,
        title=ticket.title[:200],
        status=ticket.status,
        fault=ticket.fault,
        starts_at=ticket.starts_at.isoformat(),
        ends_at=ticket.ends_at.isoformat() if ticket.ends_at else None,
    )
