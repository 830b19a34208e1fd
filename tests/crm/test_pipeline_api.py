"""Leads, deals and activities by programs."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import SiteLimit, User, UserStatus
from crm.leads import save_lead
from crm.models import Activity, Deal, DealStageChange, Lead
from hosting.models import Site

pytestmark = pytest.mark.django_db
JSON = "application/json"


@pytest.fixture
def api(client, operator):
    client.force_login(operator)
    return client


def test_a_lead_is_added_changed_moved_and_converted_once(api):
    made = api.post(
        "/api/v1/crm/leads/", {"name": "Buyer", "email": "Buyer@miners.example", "wanted_kw": "1500.000"}, JSON
    )
    assert (made.status_code, made.json()["score"]) == (201, 40)
    row = f"/api/v1/crm/leads/{made.json()['id']}/"
    assert api.patch(row, {"source": "referral", "status": "lost"}, JSON).json()["score"] == 65
    assert api.get(row).json()["status"] == "new"
    assert api.post(f"{row}move/", {"to": "qualified"}, JSON).json()["status"] == "qualified"
    assert api.post(f"{row}move/", {"to": "contacted"}, JSON).status_code == 409
    deal = api.post(f"{row}convert/", {}, JSON)
    assert (deal.status_code, deal.json()["client"]) == (201, "buyer@miners.example")
    again = api.post(f"{row}convert/", {}, JSON)
    assert again.status_code == 409
    assert f"deal {deal.json()['id']}" in again.json()["error"]["message"]


def test_a_lead_without_an_address_names_what_is_missing(api):
    lead = save_lead(Lead(name="Caller"))
    reply = api.post(f"/api/v1/crm/leads/{lead.pk}/convert/", {}, JSON)
    assert (reply.status_code, list(reply.json()["error"]["fields"])) == (400, ["client_email"])


def test_a_deal_moves_from_where_it_was_seen(api, client_a, site):
    made = api.post(
        "/api/v1/crm/deals/", {"title": "D", "client": client_a.email, "site_id": site.pk, "value": "10.00"}, JSON
    )
    assert made.status_code == 201
    row = f"/api/v1/crm/deals/{made.json()['id']}/"
    assert api.post(f"{row}move/", {"to": "proposal", "seen": "discovery"}, JSON).json()["probability"] == 50
    assert api.post(f"{row}move/", {"to": "negotiation", "seen": "discovery"}, JSON).status_code == 409
    assert api.post(f"{row}move/", {"to": "closed_lost"}, JSON).status_code == 409
    assert list(DealStageChange.objects.order_by("pk").values_list("to_stage", flat=True)) == ["discovery", "proposal"]
    assert [one["title"] for one in api.get("/api/v1/crm/deals/?stage=proposal").json()["results"]] == ["D"]


def test_a_closed_deal_is_as_probable_as_its_stage(api):
    deal = Deal.objects.create(title="D")
    row = f"/api/v1/crm/deals/{deal.pk}/"
    assert api.post(f"{row}move/", {"to": "closed_won", "probability": 10}, JSON).status_code == 409
    assert api.post(f"{row}move/", {"to": "closed_won"}, JSON).json()["probability"] == 100
    refused = api.patch(row, {"probability": 10}, JSON)
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["probability"])
    assert api.patch(row, {"probability": 100, "title": "E"}, JSON).json()["title"] == "E"


def test_activities_are_about_something(api):
    assert api.post("/api/v1/crm/activities/", {"kind": "note", "subject": "x"}, JSON).status_code == 400
    deal = Deal.objects.create(title="D")
    made = api.post("/api/v1/crm/activities/", {"kind": "call", "subject": "x", "deal_id": deal.pk}, JSON)
    assert (made.status_code, made.json()["author"]) == (201, "operator@farm.example")
    assert len(api.get(f"/api/v1/crm/activities/?deal={deal.pk}").json()["results"]) == 1


def test_leads_deals_and_tasks_are_found_by_whose_they_are_and_what_waits(api, operator, admin):
    now = timezone.now()
    late = save_lead(Lead(name="late", owner=operator, follow_up_at=now - timedelta(hours=1)))
    save_lead(Lead(name="lost", owner=operator, follow_up_at=now - timedelta(hours=1), status="lost"))
    save_lead(Lead(name="later", owner=admin))
    deal = Deal.objects.create(title="D", owner=admin)
    for subject, done in (("to do", None), ("done", now)):
        Activity.objects.create(deal=deal, kind="task", subject=subject, done_at=done)

    def found(path: str) -> set[str]:
        rows = api.get(f"/api/v1/crm/{path}").json()["results"]
        return {row.get("name") or row.get("title") or row["subject"] for row in rows}

    assert found("leads/?overdue=true") == {late.name}
    assert found("leads/?overdue=false") == {"lost", "later"}
    assert found(f"leads/?owner={operator.email.upper()}") == {"late", "lost"}
    assert found(f"deals/?owner={operator.email}") == set()
    assert found(f"deals/?owner={admin.email}") == {"D"}
    assert found("activities/?open=true") == {"to do"}
    assert found("activities/?open=false") == {"done"}
    assert api.get("/api/v1/crm/leads/?overdue=perhaps").status_code == 400


def test_staff_of_one_site_know_nothing_of_deals_at_others(client, make_user, operator, site):
    south = Site.objects.create(name="South")
    limited = make_user("user", "operator-2")
    SiteLimit.objects.create(user=limited, site_id=south.pk)
    client.force_login(limited)
    deals = {name: Deal.objects.create(title=name, site=at) for name, at in (("N", site), ("S", south), ("any", None))}
    for deal in deals.values():
        Activity.objects.create(deal=deal, kind="note", subject=deal.title)
    assert {row["title"] for row in client.get("/api/v1/crm/deals/").json()["results"]} == {"S", "any"}
    assert {row["subject"] for row in client.get("/api/v1/crm/activities/").json()["results"]} == {"S", "any"}
    assert client.get(reverse("crm:deal", args=[deals["N"].pk])).status_code == 404
    assert client.post(reverse("crm:deal_move", args=[deals["N"].pk]), {"to": "proposal"}).status_code == 404
    reply = client.post("/api/v1/crm/activities/", {"kind": "note", "subject": "x", "deal_id": deals["N"].pk}, JSON)
    assert reply.status_code == 400
    client.force_login(operator)
    assert len(client.get("/api/v1/crm/deals/").json()["results"]) == 3


def test_nobody_who_left_is_given_a_lead(api, make_user):
    gone = make_user("user", "operator-2")
    User.objects.filter(pk=gone.pk).update(status=UserStatus.DISABLED)
    reply = api.post("/api/v1/crm/leads/", {"name": "Buyer", "owner": gone.email}, JSON)
    assert (reply.status_code, list(reply.json()["error"]["fields"])) == (400, ["owner"])


@pytest.mark.parametrize("name", ["lead", "deal", "activity"])
def test_customers_are_refused(client, client_a, guest, name):
    for person in (client_a, guest):
        client.force_login(person)
        assert client.get(reverse(f"api:{name}-list")).status_code == 403
