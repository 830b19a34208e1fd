"""One row of everything that a path can name, all client_a's, and a door for each actor."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Impersonation, Invitation, User, UserAccess
from accounts.tokens import make_token
from analytics.models import MarketSnapshot, TechnicalIndicator
from crm.invoicing import DraftLine, draft_invoice, issue_invoice
from crm.leads import save_lead
from crm.models import BillingDetails, BillingRun, Deal, Lead
from crm.payments import record_payment
from crm.states import LineKind
from crm.timeline import add_activity
from curtailment.models import CurtailmentRule, MinerTier, PlanMiner, SignalSource
from curtailment.settlement import settle_plan
from events.catalogue import CATALOGUE
from events.models import EventDelivery
from events.outbox import publish
from events.sinks.endpoints import create_endpoint
from hosting.models import (
    Alert,
    Building,
    Circuit,
    CommandBatch,
    DiscoveredMiner,
    MaintenanceTicket,
    MaintenanceWindow,
    MinerCommand,
    MinerLatest,
    OperationLog,
    Rack,
    SavedView,
)
from tests.access.actors import Actor
from tests.access.routes import parameters
from tests.crm.billing_cast import agree
from tests.curtailment.raw_plans import a_plan, approve_raw
from tests.curtailment.settled import over_plan


@pytest.fixture
def things(client_a, client_b, guest, operator, admin, owner, site, miner_a, miner_b, alert_rules):
    """What paths name, by the start of the route: a machine, its site, an endpoint, a delivery, a token of client_a's."""
    endpoint, _ = create_endpoint(client_a.pk, "webhook", "https://hooks.example.com/in", [], by=client_a.pk)
    with transaction.atomic():
        facts = CATALOGUE["miner.offline"].example | {"miner_id": miner_a.pk}
        event = publish("miner.offline", about=f"miner:{miner_a.pk}", client_id=client_a.pk, **facts)
    delivery = EventDelivery.objects.create(endpoint=endpoint, event=event, aggregate_key=event.aggregate_key)
    token, _ = make_token(
        name="theirs", scopes=["read"], expires_at=timezone.now() + timedelta(days=9), addresses=(), by=client_a
    )
    in_a_day = timezone.now() + timedelta(days=1)
    Invitation.objects.create(email="new@farm.example", token_sha256="x", invited_by=owner, expires_at=in_a_day)
    Impersonation.objects.create(by_user=admin, as_user=client_a, reason="a look")
    MinerLatest.objects.create(miner=miner_a, attempted_at=timezone.now())
    OperationLog.objects.create(miner=miner_a, operation="start")
    now = timezone.now()
    rule = alert_rules.get(kind="offline")
    alert = Alert.objects.create(
        rule=rule, kind=rule.kind, severity=rule.severity, site=site, miner=miner_a, opened_at=now, last_seen_at=now
    )
    MaintenanceWindow.objects.create(site=site, starts_at=now, ends_at=in_a_day, reason="new fans")
    view = SavedView.objects.create(owner=owner, name="silent", query="status=offline")
    batch = CommandBatch.objects.create(
        order="sleep", reason="matrix", fingerprint="-", miners=1, requested_by=operator, expires_at=in_a_day
    )
    MinerCommand.objects.create(batch=batch, miner=miner_a)
    DiscoveredMiner.objects.create(site=site, host="10.0.3.7", seen_at=timezone.now())
    rack = Rack.objects.create(building=Building.objects.create(site=site, name="Hall"), name="R-01")
    feed = Circuit.objects.create(site=site, name="PDU-1", capacity_kw=10)
    ticket = MaintenanceTicket.objects.create(
        miner=miner_a, client=client_a, serial_number="A-0001", title="Fan", starts_at=timezone.now()
    )
    fee = DraftLine(LineKind.SETUP, "Racking", Decimal(1), "machine", Decimal(10), Decimal("10.00"))
    invoice = issue_invoice(draft_invoice(client=client_a, lines=[fee], by=admin), by=admin)
    payment = record_payment(invoice, Decimal(1), by=admin)
    BillingDetails.objects.create(client=client_a)
    lead = save_lead(Lead(name="Buyer", email="buyer@miners.example"))
    deal = Deal.objects.create(title="Ten machines", client=client_a)
    task = add_activity(kind="task", subject="Call", deal=deal, by=operator)
    contract = agree(client_a, site)
    run = BillingRun.objects.create(month=contract.starts_on)
    held = draft_invoice(client=client_a, lines=[], held_for="a look", by=None)
    price = MarketSnapshot.objects.create(bucket=now, created_at=now, btc_price=100_000)
    TechnicalIndicator.objects.create(analytics=price, run_started_at=now, run_length=1)
    plan = over_plan(site, [miner_a], owner)
    settle_plan(plan)
    MinerTier.objects.create(client=client_a, tier="vip")
    source = SignalSource.objects.create(site=site, name="utility")
    by_price = CurtailmentRule.objects.create(site=site, name="dear power", kind="price", content_hash="x")
    return {
        "/curtailment/rules/sources/": source.pk,
        "/curtailment/rules/": by_price.pk,
        "/curtailment/sites/": site.pk,
        "/curtailment/": plan.pk,
        "/api/v1/curtailment/rules/": by_price.pk,
        "/miners/": miner_a.pk,
        "/crm/leads/": lead.pk,
        "/crm/deals/": deal.pk,
        "/crm/tasks/": task.pk,
        "/crm/clients/": client_a.pk,
        "/api/v1/crm/leads/": lead.pk,
        "/api/v1/crm/deals/": deal.pk,
        "/api/v1/crm/activities/": task.pk,
        "/crm/billing/runs/": run.pk,
        "/crm/billing/contracts/": contract.pk,
        "/crm/billing/held/": held.pk,
        "/api/v1/crm/contracts/": contract.pk,
        "/alerts/": alert.pk,
        "/fleet/views/": view.pk,
        "/api/v1/alerts/": alert.pk,
        "/sites/": site.pk,
        "/webhooks/deliveries/": delivery.pk,
        "/webhooks/": endpoint.pk,
        "/view-as/": client_a.pk,
        "/account/sessions/": 1,
        "/accounts/tokens/": token.pk,
        "/api/v1/miners/": miner_a.pk,
        "/api/v1/miner-commands/": batch.pk,
        "/api/v1/sites/": site.pk,
        "/api/v1/curtailment/sites/": site.pk,
        "/api/v1/curtailment/plans/": approve_raw(a_plan(site, [miner_a], by=operator), admin).pk,
        "/tickets/": ticket.pk,
        "/api/v1/tickets/": ticket.pk,
        "/invoices/contracts/": contract.pk,
        "/invoices/": invoice.pk,
        "/api/v1/crm/invoices/": invoice.pk,
        "/api/v1/crm/payments/": payment.pk,
        "/api/v1/buildings/": rack.building_id,
        "/api/v1/racks/": rack.pk,
        "/api/v1/circuits/": feed.pk,
        "/api/v1/models/": miner_a.miner_model_id,
        "/api/v1/tokens/": token.pk,
        "/api/v1/endpoints/": endpoint.pk,
        "/api/v1/deliveries/": delivery.pk,
    }


TEXTS = {
    "secret": "no-such-invitation",
    "key": "no-such-key",
    "source_id": "00000000-0000-0000-0000-000000000000",
    "uidb36": "0",
    "content_type_id": "1",
    "app_label": "hosting",
    "id": "1",
}


@pytest.fixture
def path_values(things, client_a):
    """Values of a route's parameters; KeyError for one that nobody has thought of."""

    def values(route: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in parameters(route):
            if name == "object_id":
                found[name] = client_a.pk if route.startswith("/admin/accounts/user/") else some_row(route)
            elif name == "target":
                found[name] = PlanMiner.objects.order_by("pk").values_list("pk", flat=True).first()
            elif name == "pk":
                found[name] = next(pk for start, pk in things.items() if route.startswith(start))
            elif name == "miner":
                found[name] = things["/miners/"]
            else:
                found[name] = TEXTS[name]
        return found

    return values


def some_row(route: str) -> object:
    """The newest row of the model whose admin page this is, or a number that has none."""
    parts = route.split("/")
    try:
        model = apps.get_model(parts[2], parts[3])
    except LookupError:
        return 1
    row = model._default_manager.order_by("-pk").first()
    return row.pk if row is not None else 1


@pytest.fixture
def sign_in(request, things, settings):
    """A client with the actor's session or token; what becomes of their access happens afterwards."""
    rates = dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "1000000/min")
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}

    def door(actor: Actor) -> Client:
        if actor.person is None:
            return Client()
        person = request.getfixturevalue(actor.person)
        client = Client(headers=bearer(person, actor.token)) if actor.token else Client()
        if not actor.token:
            client.force_login(person)
        if actor.state == "viewing":
            viewed = request.getfixturevalue("client_a")
            assert client.post(f"/view-as/{viewed.pk}/", {"reason": "the table of who may what"}).status_code == 302
        change_access(person, actor.state)
        return client

    return door


def bearer(person: User, fate: str) -> dict[str, str]:
    scopes = ["read", "write"] if fate == "write" else ["read"]
    token, secret = make_token(
        name="matrix", scopes=scopes, expires_at=timezone.now() + timedelta(days=9), addresses=(), by=person
    )
    if fate == "expired":
        ApiToken.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(hours=1))
    return {"authorization": f"Bearer {secret}"}


def change_access(person: User, state: str) -> None:
    now = timezone.now()
    spans = {
        "not_yet": {"access_start_date": now + timedelta(days=1)},
        "expired": {"access_end_date": now - timedelta(minutes=1)},
        "revoked": {"revoked_at": now},
    }
    if state in spans:
        UserAccess.objects.create(user=person, **spans[state])
    elif state == "disabled":
        User.objects.filter(pk=person.pk).update(status="DISABLED")
