"""Pages of leads, deals and clients, as staff use them."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from crm.invoicing import issue_invoice
from crm.leads import save_lead
from crm.models import Activity, Deal, Lead
from crm.payments import record_payment
from tests.crm.billing_cast import agree

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def deal(client_a, site, operator) -> Deal:
    site.refresh_from_db()
    return Deal.objects.create(title="500 machines", value=Decimal(1000), client=client_a, site=site, owner=operator)


def test_the_board_shows_stages_with_sums_and_what_stands_too_long(desk, deal):
    Deal.objects.filter(pk=deal.pk).update(stage_since=timezone.now() - timedelta(days=15))
    page = desk.get(reverse("crm:deals")).content.decode()
    assert "500 machines" in page
    assert "weighted 200" in page
    assert "farm-card-stuck" in page
    assert desk.get(reverse("crm:deals"), {"mine": "1"}).content.decode().count("data-card=") == 1


def test_a_card_is_moved_by_script_and_by_form(desk, deal):
    move = reverse("crm:deal_move", args=[deal.pk])
    reply = desk.post(move, {"to": "proposal", "seen": "discovery"}, headers={"accept": "application/json"})
    assert reply.json() == {"stage": "proposal", "label": "Proposal", "probability": 50}
    late = desk.post(move, {"to": "negotiation", "seen": "discovery"}, headers={"accept": "application/json"})
    assert (late.status_code, "Proposal" in late.json()["error"]["message"]) == (409, True)
    assert desk.post(move, {"to": "negotiation", "seen": "proposal", "back": "board"}).url == reverse("crm:deals")
    assert desk.post(move, {"to": "closed_lost"}).url == reverse("crm:deal", args=[deal.pk])
    deal.refresh_from_db()
    assert deal.stage == "negotiation"
    assert "Say why" in desk.get(reverse("crm:deal", args=[deal.pk])).content.decode()


def test_a_deal_tells_of_room_and_of_what_was_done(desk, deal, operator):
    Deal.objects.filter(pk=deal.pk).update(power_kw=9000)
    desk.post(
        reverse("crm:deal_activity", args=[deal.pk]),
        {"kind": "task", "subject": "Send terms", "due_date": "2026-12-01"},
    )
    page = desk.get(reverse("crm:deal", args=[deal.pk])).content.decode()
    assert "2,500 kW free" in page
    assert "Send terms" in page
    task = Activity.objects.get()
    assert (task.author, task.assigned_to) == (operator, operator)
    desk.post(reverse("crm:task_done", args=[task.pk]))
    task.refresh_from_db()
    assert task.done_at is not None


def test_only_a_task_is_due(desk, deal):
    reply = desk.post(
        reverse("crm:deal_activity", args=[deal.pk]),
        {"kind": "note", "subject": "x", "due_date": "2026-12-01"},
        follow=True,
    )
    assert "Only a task" in reply.content.decode()
    assert not Activity.objects.exists()


def test_a_lead_from_its_page_to_a_deal_once(desk):
    lead = save_lead(Lead(name="Buyer", email="buyer@miners.example", company="Miners", source="referral"))
    page = reverse("crm:lead", args=[lead.pk])
    assert "came by referral" in desk.get(page).content.decode()
    desk.post(reverse("crm:lead_assign", args=[lead.pk]))
    desk.post(reverse("crm:lead_move", args=[lead.pk]), {"to": "contacted"})
    lead.refresh_from_db()
    assert (lead.status, str(lead.owner)) == ("contacted", "operator")
    for _ in range(2):
        reply = desk.post(reverse("crm:lead_convert", args=[lead.pk]), {"title": "", "client_email": ""})
        assert reply.url == reverse("crm:deal", args=[Deal.objects.get().pk])
    assert "is deal" in desk.get(reply.url).content.decode()


def test_leads_are_searched_and_those_to_follow_up_found(desk):
    save_lead(Lead(name="Early", follow_up_at=timezone.now() - timedelta(hours=1)))
    save_lead(Lead(name="Late", phone="5125550100"))
    overdue = desk.get(reverse("crm:leads"), {"show": "overdue"}).content.decode()
    assert "Early" in overdue
    assert "Late" not in overdue
    assert "Late" in desk.get(reverse("crm:leads"), {"q": "51255"}).content.decode()


def test_files_hold_no_formulas(desk, deal):
    save_lead(Lead(name="=1+1", company="@x"))
    Deal.objects.filter(pk=deal.pk).update(title="+cmd|' /C calc'!A0")
    (lead,) = csv.DictReader(io.StringIO(desk.get(reverse("crm:leads_csv")).getvalue().decode()))
    (row,) = csv.DictReader(io.StringIO(desk.get(reverse("crm:deals_csv")).getvalue().decode()))
    assert (lead["name"], lead["company"], row["title"]) == ("'=1+1", "'@x", "'+cmd|' /C calc'!A0")


def test_files_are_sent_while_they_are_read(desk, django_assert_num_queries):
    for number in range(3):
        save_lead(Lead(name=f"L-{number}"))
    reply = desk.get(reverse("crm:leads_csv"))
    assert reply.streaming
    with django_assert_num_queries(1):
        assert len(reply.getvalue().decode().splitlines()) == 4


LISTS = (
    *(reverse(f"crm:{name}") for name in ("deals", "leads", "clients")),
    reverse("invoices:invoices"),
    *(
        reverse(f"admin:crm_{name}_changelist")
        for name in ("lead", "deal", "activity", "invoice", "contract", "payment")
    ),
    *(f"/api/v1/crm/{name}/" for name in ("leads", "deals", "activities", "invoices", "payments", "contracts")),
)


def test_no_list_asks_more_questions_for_more_rows(client, owner, make_user, make_miner, site, draft):
    """Every row has people of its own: one that is looked up by itself would show."""

    def rows(numbers):
        for number in numbers:
            person, seller = make_user("client", f"c-{number}"), make_user("user", f"s-{number}")
            lead = save_lead(Lead(name=f"L-{number}", owner=seller))
            deal = Deal.objects.create(title=f"D-{number}", lead=lead, client=person, owner=seller, site=site)
            Activity.objects.create(lead=lead, deal=deal, kind="task", subject="x", author=seller, assigned_to=seller)
            agree(person, site, f"C-{number}")
            make_miner(f"M-{number}", client=person)
            record_payment(issue_invoice(draft(person, deal=deal), by=seller), Decimal(1), by=seller)

    def questions() -> dict[str, int]:
        counts = {}
        for path in LISTS:
            with CaptureQueriesContext(connection) as asked:
                assert client.get(path).status_code == 200, path
            counts[path] = len(asked)
        return counts

    client.force_login(owner)
    rows(range(2))
    few = questions()  # and a few that are kept per process: fewer than the rows to come
    rows(range(2, 8))
    assert {path: asked for path, asked in questions().items() if asked > few[path]} == {}


def test_leads_are_lost_from_the_admin_for_a_reason(desk):
    leads = [save_lead(Lead(name=f"L-{number}")) for number in range(2)]
    done = save_lead(Lead(name="Done", status="converted"))
    url = reverse("admin:crm_lead_changelist")
    chosen = {"action": "lost", ACTION_CHECKBOX_NAME: [lead.pk for lead in [*leads, done]]}
    asked = desk.post(url, chosen).content.decode()
    assert "Mark as lost" in asked
    assert "This field is required" in desk.post(url, chosen | {"apply": "1", "reason": " "}).content.decode()
    assert not Lead.objects.filter(status="lost").exists()
    told = desk.post(url, chosen | {"apply": "1", "reason": "too dear"}, follow=True).content.decode()
    assert "2 lost." in told
    assert "is converted and cannot become lost" in told
    assert set(Lead.objects.filter(status="lost").values_list("name", "lost_reason")) == {
        ("L-0", "too dear"),
        ("L-1", "too dear"),
    }


@pytest.mark.parametrize("name", ["leads", "deals", "clients", "leads_csv", "deals_csv"])
def test_customers_know_nothing_of_it(client, client_a, guest, name):
    for person in (client_a, guest):
        client.force_login(person)
        assert client.get(reverse(f"crm:{name}")).status_code == 404
