"""Leads and deals of the demo: companies that never were, in every state."""

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from accounts.models import User
from crm.leads import convert_lead, move_lead, save_lead
from crm.models import Deal, DealStageChange, Lead
from crm.states import PROBABILITIES, DealStage, LeadStatus
from crm.timeline import add_activity
from hosting.models import Site

# Name, company, source, kW wanted, how far.
LEADS = (
    ("Head of mining", "Aurora Hash Oy", "referral", 4800, LeadStatus.QUALIFIED),
    ("Procurement", "Basalt Compute GmbH", "website", 950, LeadStatus.CONTACTED),
    ("Founder", "Cinder Digital", "event", 120, LeadStatus.NEW),
    ("Fund manager", "Delta Yield Ltd", "referral", 2400, LeadStatus.NEW),
    ("Operations", "Ember Nodes", "cold_call", None, LeadStatus.CONTACTED),
    ("Family office", "Fjord Capital AS", "partner", 600, LeadStatus.LOST),
)
# Title, USD, machines, kW, stage, days in it.
DEALS = (
    ("Glacier Mining: 60 x S21", 212_000, 60, 210, DealStage.DISCOVERY, 3),
    ("Harbor Hash: second batch", 88_000, 24, 84, DealStage.DISCOVERY, 19),
    ("Iron Ledger: hosting for 3 years", 640_000, 180, 612, DealStage.PROPOSAL, 6),
    ("Juniper Power: pass-through", 310_000, 90, 297, DealStage.PROPOSAL, 2),
    ("Kestrel: move from another site", 154_000, 48, 158, DealStage.NEGOTIATION, 8),
    ("Client A: first machines", 96_000, 30, 98, DealStage.CLOSED_WON, 40),
    ("Lumen: too far from the port", 50_000, 15, 49, DealStage.CLOSED_LOST, 12),
)


def seed_pipeline(*, owner: User, clients: list[User], site: Site) -> None:
    """Once: a database that has leads keeps them."""
    if Lead.objects.exists():
        return
    now = timezone.now()
    for number, (name, company, source, kw, status) in enumerate(LEADS):
        address = f"{name.split()[0].lower()}@{company.split()[0].lower()}.example"
        lead = save_lead(Lead(name=name, company=company, email=address, source=source, wanted_kw=kw, owner=owner))
        Lead.objects.filter(pk=lead.pk).update(follow_up_at=now + timedelta(hours=20 * number - 30))
        add_activity(lead=lead, kind="call", subject="First call", body="Asked for price and earliest date.", by=owner)
        if status != LeadStatus.NEW:
            move_lead(lead, status, reason="Chose a site of their own." if status == LeadStatus.LOST else "", by=owner)
    for title, value, machines, kw, stage, days in DEALS:
        closed = stage in {DealStage.CLOSED_WON, DealStage.CLOSED_LOST}
        deal = Deal.objects.create(
            title=title,
            value=Decimal(value),
            miners=machines,
            power_kw=kw,
            site=site,
            stage=stage,
            probability=PROBABILITIES[stage],
            owner=owner,
            client=clients[0] if stage == DealStage.CLOSED_WON and clients else None,
            stage_since=now - timedelta(days=days),
            closed_at=now - timedelta(days=days) if closed else None,
            lost_reason="Freight." if stage == DealStage.CLOSED_LOST else None,
            expected_close_date=None if closed else (now + timedelta(days=30)).date(),
        )
        DealStageChange.objects.create(deal=deal, to_stage=stage, by=owner)
    # The account that comes of it is the demo's own: by any other address the next demo would take this for a real farm.
    address = f"treasurer@{owner.email.rpartition('@')[2]}"
    converted = save_lead(Lead(name="Treasurer", company="Mistral Hash", email=address, owner=owner))
    deal = convert_lead(converted, invite=False, by=owner)
    add_activity(
        deal=deal, kind="task", subject="Send the draft contract", due_date=(now + timedelta(days=3)).date(), by=owner
    )
