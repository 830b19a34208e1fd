"""States of leads, deals, contracts and invoices, and which moves are legal."""

from django.db import models


class LeadStatus(models.TextChoices):
    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    CONVERTED = "converted"
    LOST = "lost"


LEAD_MOVES: dict[LeadStatus, tuple[LeadStatus, ...]] = {
    LeadStatus.CONTACTED: (LeadStatus.NEW, LeadStatus.LOST),
    LeadStatus.QUALIFIED: (LeadStatus.NEW, LeadStatus.CONTACTED),
    LeadStatus.CONVERTED: (LeadStatus.NEW, LeadStatus.CONTACTED, LeadStatus.QUALIFIED),
    LeadStatus.LOST: (LeadStatus.NEW, LeadStatus.CONTACTED, LeadStatus.QUALIFIED),
}


class DealStage(models.TextChoices):
    DISCOVERY = "discovery"
    PROPOSAL = "proposal"
    NEGOTIATION = "negotiation"
    CLOSED_WON = "closed_won", "Won"
    CLOSED_LOST = "closed_lost", "Lost"


# Percent, unless somebody knows better.
PROBABILITIES = {
    DealStage.DISCOVERY: 20,
    DealStage.PROPOSAL: 50,
    DealStage.NEGOTIATION: 75,
    DealStage.CLOSED_WON: 100,
    DealStage.CLOSED_LOST: 0,
}
OPEN_STAGES = (DealStage.DISCOVERY, DealStage.PROPOSAL, DealStage.NEGOTIATION)


class ActivityKind(models.TextChoices):
    CALL = "call"
    MAIL = "mail"
    MEETING = "meeting"
    NOTE = "note"
    TASK = "task"


class Pricing(models.TextChoices):
    METERED = "metered", "metered, per kWh"
    NAMEPLATE = "nameplate", "nameplate kW while operational"
    FLAT = "flat", "flat per miner"
    REVENUE_SHARE = "revenue_share", "flat and a share of the revenue"
    PASS_THROUGH = "pass_through", "price of electricity and a margin"


class InvoiceKind(models.TextChoices):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note", "Credit note"


class InvoiceStatus(models.TextChoices):
    DRAFT = "draft"
    SENT = "sent", "Issued"
    PAID = "paid"
    OVERDUE = "overdue"


INVOICE_MOVES: dict[InvoiceStatus, tuple[InvoiceStatus, ...]] = {
    InvoiceStatus.SENT: (InvoiceStatus.DRAFT, InvoiceStatus.OVERDUE, InvoiceStatus.PAID),  # a payment that came back
    InvoiceStatus.OVERDUE: (InvoiceStatus.SENT,),
    InvoiceStatus.PAID: (InvoiceStatus.SENT, InvoiceStatus.OVERDUE),
}


class LineKind(models.TextChoices):
    ENERGY = "energy"
    HOSTING = "hosting"
    MINIMUM = "minimum", "minimum charge"
    REVENUE_SHARE = "revenue_share", "share of revenue"
    CURTAILMENT_SHARE = "curtailment_share", "share of curtailment savings"
    SLA_CREDIT = "sla_credit", "uptime credit"
    DEPOSIT = "deposit"
    SETUP = "setup"
    LATE_FEE = "late_fee", "late fee"
    OTHER = "other"
