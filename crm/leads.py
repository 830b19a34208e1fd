"""What is done with leads; a move of a status is one UPDATE, and a lead becomes one deal, whoever asks how often."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from accounts.models import User, UserStatus
from accounts.roles import STAFF_ROLES, Role
from crm.keys import FREE_MAIL, company_key, email_key, phone_key
from crm.models import Activity, Deal, DealStageChange, Lead
from crm.scoring import Points, points_of, score
from crm.states import LEAD_MOVES, PROBABILITIES, ActivityKind, DealStage, LeadStatus
from events.outbox import publish

FOLLOW_UP_AFTER = timedelta(hours=24)
KEYS = ("email_key", "phone_key", "company_key")


class IllegalLeadMove(Exception):
    """The lead is in a state from which it cannot go there; nothing was changed."""


class AlreadyConverted(IllegalLeadMove):
    """Somebody converted the lead before; `deal` is what it became."""

    def __init__(self, deal: Deal) -> None:
        super().__init__(f"This lead is deal {deal.pk} ({deal.title}) already.")
        self.deal = deal


class CannotConvert(ValueError):
    """Something is missing for a client's account; the message says what to give."""


def save_lead(lead: Lead, *, changed: Collection[str] = ()) -> Lead:
    """Save with its keys and score up to date; a new one is to be followed up within a day.

    Of one that is there, only the `changed` columns are written: its status may be moving at this moment.
    """
    lead.email_key, lead.phone_key = email_key(lead.email), phone_key(lead.phone)
    lead.company_key = company_key(lead.company, lead.email)
    lead.score = score(explain(lead))
    if lead._state.adding:  # noqa: SLF001  Django's documented mark of an unsaved row
        lead.follow_up_at = lead.follow_up_at or timezone.now() + FOLLOW_UP_AFTER
        lead.save()
    else:
        lead.save(update_fields={*changed, *KEYS, "score", "updated_at"})
    return lead


def explain(lead: Lead) -> list[Points]:
    """The rules that gave the lead its score."""
    address = email_key(lead.email)
    return points_of(
        wanted_kw=lead.wanted_kw,
        source=lead.source,
        status=lead.status,
        email=address,
        phone=phone_key(lead.phone),
        company=lead.company,
        company_mail=address is not None and address.rpartition("@")[2] not in FREE_MAIL,
    )


def duplicates_of(lead: Lead) -> "QuerySet[Lead]":
    """Other leads with the same address, number or company, newest first."""
    same = Q(pk__in=[])
    for key in KEYS:
        if value := getattr(lead, key):
            same |= Q(**{key: value})
    return Lead.objects.filter(same).exclude(pk=lead.pk).order_by("-created_at", "-pk")


def move_lead(lead: Lead, to: LeadStatus, *, reason: str = "", by: User | None) -> Lead:
    """Move a lead, in one UPDATE; lost needs a reason. Raises IllegalLeadMove. Converting is `convert_lead`."""
    if to == LeadStatus.CONVERTED:
        raise IllegalLeadMove("A lead is converted by making a deal of it.")
    if to == LeadStatus.LOST and not reason.strip():
        raise IllegalLeadMove("Say why the lead was lost.")
    values: dict[str, Any] = {"status": to, "updated_at": timezone.now()}
    values["lost_reason"] = reason.strip() if to == LeadStatus.LOST else None
    with transaction.atomic():
        moved = Lead.objects.filter(pk=lead.pk, status__in=LEAD_MOVES.get(to, ())).update(**values)
        lead.refresh_from_db()
        if not moved:
            raise IllegalLeadMove(f"The lead is {lead.status} and cannot become {to}.")
        Lead.objects.filter(pk=lead.pk).update(score=score(explain(lead)))
        text = f"{lead.get_status_display()}{': ' + reason.strip() if reason.strip() else ''}"
        Activity.objects.create(lead=lead, kind=ActivityKind.NOTE, subject=text, author=by)
    lead.refresh_from_db()
    return lead


def assign_lead(lead: Lead, *, to: User | None = None, by: User | None) -> Lead:
    """Give the lead to somebody, or to whoever of the sales people has fewest open ones."""
    if to is not None and (to.status != UserStatus.ACTIVE or to.role not in STAFF_ROLES):
        raise IllegalLeadMove(f"{to} is not active, or none of the farm's people: choose somebody else.")
    owner = to or next_owner()
    if owner is None:
        raise IllegalLeadMove("There is nobody to give it to: make an account of role user first.")
    Lead.objects.filter(pk=lead.pk).update(owner=owner, updated_at=timezone.now())
    Activity.objects.create(lead=lead, kind=ActivityKind.NOTE, subject=f"Given to {owner}", author=by)
    lead.refresh_from_db()
    return lead


def next_owner() -> User | None:
    """Of those who may work leads, staff of role user first, whoever has fewest open ones; the same for the same state."""
    open_ones = Count("leads", filter=~Q(leads__status__in=(LeadStatus.CONVERTED, LeadStatus.LOST)))
    people = User.objects.filter(status=UserStatus.ACTIVE, role=Role.USER).annotate(open_leads=open_ones)
    return people.order_by("open_leads", "created_at", "pk").first()


def convert_lead(
    lead: Lead,
    *,
    client_email: str | None = None,
    title: str | None = None,
    invite: bool = True,
    by: User | None,
) -> Deal:
    """Make a deal, a client's account and a note of the lead, all or nothing. Raises AlreadyConverted, CannotConvert.

    An account that has the address already is taken when it is a client's. A new one has no password: unless `invite` is
    False, the outbox mails its owner where to choose one.
    """
    with transaction.atomic():
        moved = Lead.objects.filter(pk=lead.pk, status__in=LEAD_MOVES[LeadStatus.CONVERTED]).update(
            status=LeadStatus.CONVERTED, converted_at=timezone.now(), updated_at=timezone.now()
        )
        lead.refresh_from_db()
        if not moved:
            if deal := Deal.objects.filter(lead=lead).first():
                raise AlreadyConverted(deal)
            raise IllegalLeadMove(f"The lead is {lead.status} and cannot be converted.")
        client, made = _client_for(lead, client_email)
        deal = Deal.objects.create(
            lead=lead,
            client=client,
            title=title or lead.company or lead.name,
            stage=DealStage.DISCOVERY,
            probability=PROBABILITIES[DealStage.DISCOVERY],
            power_kw=lead.wanted_kw,
            owner=lead.owner or by,
        )
        DealStageChange.objects.create(deal=deal, from_stage=None, to_stage=DealStage.DISCOVERY, by=by)
        Lead.objects.filter(pk=lead.pk).update(score=score(explain(lead)))
        Activity.objects.create(
            lead=lead, deal=deal, kind=ActivityKind.NOTE, subject=f"Converted: client {client.email}", author=by
        )
        publish(
            "lead.converted",
            about=f"lead:{lead.pk}",
            lead_id=lead.pk,
            deal_id=deal.pk,
            client_account_id=str(client.pk),
            invited=made and invite,
        )
    return deal


def _client_for(lead: Lead, given: str | None) -> tuple[User, bool]:
    """The account, and whether it was made for it."""
    address = email_key(given or lead.email)
    if address is None:
        raise CannotConvert("A client's account needs an e-mail address: give one.")
    try:
        validate_email(address)
    except ValidationError:
        raise CannotConvert(f"{address!r} is not one e-mail address: correct the lead's, or give another.") from None
    if known := User.objects.filter(email__iexact=address).first():
        if known.role != Role.CLIENT:
            raise CannotConvert(f"{address} is an account of the farm's own people: give the client's address.")
        return known, False
    return User.objects.create_user(address, None, role=Role.CLIENT, name=lead.company or lead.name), True
