"""Billing in the browser: preview, look, issue; who may not finds nothing there."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from crm.billing import background
from crm.models import BilledMonth, BillingRun, Contract, Invoice
from hosting.models import MinerHour
from tests.crm.billing_cast import METERED, OCTOBER, agree, run_machines

MONTH = {"month": "2026-10"}


@pytest.fixture
def month(site, make_miner, client_a):
    run_machines(site, [make_miner("A-1", client=client_a)])
    return agree(client_a, site, "C-<b>1</b>")


@pytest.fixture
def queue(settings, monkeypatch):
    """What would be handed to a worker is done at once, by the same function."""
    from crm.tasks import run_billing

    monkeypatch.setattr(run_billing, "delay", background.work)


def test_a_month_is_previewed_looked_at_and_issued(client, admin, month, queue):
    client.force_login(admin)
    assert b'value="2026-10"' in client.get(reverse("billing:billing"), MONTH).content
    page = client.post(reverse("billing:start"), MONTH, follow=True).content.decode()
    assert "C-&lt;b&gt;1&lt;/b&gt;" in page
    assert "no contract bills" not in page
    assert not Invoice.objects.exists()
    detail = client.get(reverse("billing:contract", args=[month.pk]), MONTH).content.decode()
    assert "Metered electricity, 2026-10-01 to 2026-10-31" in detail
    assert "A-1" in detail
    page = client.post(reverse("billing:start"), {**MONTH, "issue": "1"}, follow=True).content.decode()
    assert "INV-2026-00001" in page
    invoice = Invoice.objects.get()
    assert (invoice.status, invoice.issued_by, invoice.created_by) == ("sent", admin, admin)
    there = client.get(reverse("billing:contract", args=[month.pk]), MONTH)
    assert there.url == reverse("invoices:invoice", args=[invoice.pk])
    assert b"2026-10, issue" in client.get(reverse("billing:billing")).content


@pytest.mark.stale_sign_in
def test_issuing_takes_a_fresh_proof_and_a_preview_does_not(client, admin, month, queue):
    client.force_login(admin)
    assert client.post(reverse("billing:start"), MONTH).url == reverse(
        "billing:run", args=[BillingRun.objects.get().pk]
    )
    refused = client.post(reverse("billing:start"), {**MONTH, "issue": "1"})
    assert "reauthenticate" in refused.url
    assert BillingRun.objects.count() == 1
    assert not Invoice.objects.exists()
    assert "reauthenticate" in client.post(reverse("billing:let_out", args=[1]), {"reason": "x"}).url


def test_a_held_draft_goes_out_for_a_reason(client, admin, month, queue):
    MinerHour.objects.update(gap_s=600)
    client.force_login(admin)
    page = client.post(reverse("billing:start"), {**MONTH, "issue": "1"}, follow=True).content.decode()
    assert "Held: only 83.333 % of the machines&#x27; time was read" in page
    draft = Invoice.objects.get()
    url = reverse("billing:let_out", args=[draft.pk])
    client.post(url, {"reason": ""})
    assert Invoice.objects.get().status == "draft"
    assert client.post(url, {"reason": "The site's meter agrees"}).url == reverse("invoices:invoice", args=[draft.pk])
    assert Invoice.objects.get().status == "sent"
    assert BilledMonth.objects.get().override_reason == "The site's meter agrees"


def test_the_run_tells_of_machines_that_no_contract_bills(client, admin, month, queue):
    Contract.objects.filter(pk=month.pk).update(ends_on="2026-10-31")
    client.force_login(admin)
    page = client.post(reverse("billing:start"), MONTH, follow=True).content.decode()
    assert "client-a at North: 24 hours" in page


def test_a_run_that_waits_or_failed_says_so(client, admin, month):
    client.force_login(admin)
    run = background.start(OCTOBER, site=None, dry_run=True, by=admin)
    url = reverse("billing:run", args=[run.pk])
    assert b"Waiting for a worker" in client.get(url).content
    assert b'hx-trigger="load delay:2s"' in client.get(url).content
    background.work(run.pk)
    done = client.get(url).content
    assert b"hx-trigger" not in done
    BillingRun.objects.update(outcomes=[])
    background.work(run.pk)  # a second worker finds it done
    assert BillingRun.objects.get().outcomes == []
    failed = background.start(OCTOBER.replace(month=12), site=None, dry_run=False, by=admin)
    background.work(failed.pk)
    assert b"2026-12 lasts until" in client.get(reverse("billing:run", args=[failed.pk])).content


def test_whoever_may_not_issue_finds_nothing(client, operator, client_a, guest, month):
    for person in (operator, client_a, guest):
        client.force_login(person)
        for name, args in (("billing", []), ("run", [1]), ("contract", [month.pk])):
            assert client.get(reverse(f"billing:{name}", args=args)).status_code == 404
        assert client.post(reverse("billing:start"), MONTH).status_code == 404
        assert client.post(reverse("billing:let_out", args=[1])).status_code == 404
    assert not BillingRun.objects.exists()


@pytest.mark.parametrize("wrong", ["october", "2026-13", "9999-12", ""])
def test_what_is_no_month_is_said(client, admin, month, wrong):
    client.force_login(admin)
    assert client.post(reverse("billing:start"), {"month": wrong}, follow=True).status_code == 200
    assert client.get(reverse("billing:billing"), {"month": wrong}).status_code == 200
    assert client.get(reverse("billing:contract", args=[month.pk]), {"month": wrong}, follow=True).status_code == 200
    assert not BillingRun.objects.exists()


# --- contracts ----------------------------------------------------------------------------------------------------------


def inline(number, **values):
    blank = dict.fromkeys(
        (
            *(
                "id",
                "rate_per_kwh",
                "flat_per_miner",
                "revenue_share_pct",
                "minimum_kw",
                "minimum_per_month",
                "deposit",
            ),
            *("setup_fee", "late_fee", "uptime_guarantee_pct", "terms"),
        ),
        "",
    )
    usual = {"currency": "USD", "rated_power_uplift_pct": "0", "sla_credit_cap_pct": "100", "tax_pct": "0"}
    usual |= {"curtailment_excused": "on", "curtailment_share_pct": "0", "due_days": "14"}
    return {f"versions-{number}-{name}": value for name, value in (blank | usual | values).items()}


def form(contract_fields, *versions, initial=0):
    sent = {"versions-TOTAL_FORMS": len(versions), "versions-INITIAL_FORMS": initial, "deal": "", "ends_on": ""}
    for number, version in enumerate(versions):
        sent |= inline(number, **version)
    return sent | contract_fields


def test_contracts_are_written_in_admin_and_kept_once_billed(client, admin, site, client_a, make_miner):
    from crm.billing.runs import issue_run

    client.force_login(admin)
    add = reverse("admin:crm_contract_add")
    fields = {"number": "C-1", "client": client_a.pk, "site": site.pk, "starts_on": "2026-10-01"}
    late = {"valid_from": "2026-10-02", "pricing": "metered", "rate_per_kwh": "0.07"}
    assert b"from the contract&#x27;s first day on" in client.post(add, form(fields, late)).content
    lacking = {"valid_from": "2026-10-01", "pricing": "flat"}
    assert b"needs a price per machine" in client.post(add, form(fields, lacking)).content
    assert not Contract.objects.exists()
    first = {"valid_from": "2026-10-01", "pricing": "metered", "rate_per_kwh": "0.07"}
    saved = client.post(add, form(fields, first))
    assert saved.status_code == 302, saved.context["errors"]
    contract = Contract.objects.get()
    assert contract.created_by == admin

    run_machines(site, [make_miner("A-1", client=client_a)])
    issue_run(OCTOBER, by=admin)
    change = reverse("admin:crm_contract_change", args=[contract.pk])
    version = contract.versions.get()
    assert b"disabled" in client.get(change).content
    known = first | {"id": version.pk, "rate_per_kwh": "0.01"}
    # What is sent for the billed version is not looked at; the new one is.
    new = {"valid_from": "2026-11-01", "pricing": "metered", "rate_per_kwh": "0.08"}
    saved = client.post(change, form({"number": "C-1"}, known, new, initial=1))
    assert saved.status_code == 302, saved.context["errors"]
    assert [str(v.rate_per_kwh) for v in contract.versions.order_by("valid_from")] == ["0.070000", "0.080000"]
    within = {"valid_from": "2026-10-20", "pricing": "metered", "rate_per_kwh": "0.08"}
    assert b"2026-11-01 or later" in client.post(change, form({"number": "C-1"}, known, within, initial=1)).content
    gone = known | {"DELETE": "on"}
    kept = new | {"id": contract.versions.latest("valid_from").pk}
    refused = client.post(change, form({"number": "C-1"}, gone, kept, initial=2))
    assert b"would require deleting" in refused.content, refused.context["errors"]
    assert contract.versions.count() == 2
    assert client.get(reverse("admin:crm_contract_changelist")).status_code == 200
    assert client.get(reverse("admin:crm_usagesnapshot_changelist")).status_code == 200


def test_the_api_agrees_contracts_and_shows_customers_their_own(client, admin, client_a, client_b, site):
    client.force_login(admin)
    url = reverse("api:contract-list")
    sent = {
        "number": "C-1",
        "client_id": str(client_a.pk),
        "site_id": site.pk,
        "starts_on": "2026-01-01",
        "terms": {"pricing": "metered", "rate_per_kwh": "0.071234", "uptime_guarantee_pct": "98"},
    }
    made = client.post(url, sent, "application/json")
    assert made.status_code == 201, made.json()
    detail = made.headers["Location"]
    assert (
        made.json()["versions"][0] | {"rate_per_kwh": "0.071234", "uptime_guarantee_pct": "98.000"}
        == made.json()["versions"][0]
    )
    again = client.post(url, sent, "application/json")
    assert again.status_code == 400
    assert "number" in again.json()["error"]["fields"]
    bad = client.post(url, {**sent, "number": "C-2", "terms": {"pricing": "flat"}}, "application/json")
    assert bad.status_code == 400
    later = client.post(
        f"{detail}versions/",
        {"valid_from": "2026-05-01", "pricing": "flat", "flat_per_miner": "90"},
        "application/json",
    )
    assert (later.status_code, len(later.json()["versions"])) == (201, 2)
    assert client.post(f"{detail}end/", {"ends_on": "2026-04-01"}, "application/json").status_code == 400
    assert client.post(f"{detail}end/", {"ends_on": "2027-01-01"}, "application/json").json()["ends_on"] == "2027-01-01"

    client.force_login(client_a)
    mine = client.get(detail).json()
    assert set(mine) == {"id", "number", "client_id", "site_id", "site", "starts_on", "ends_on", "versions"}
    assert [version["pricing"] for version in mine["versions"]] == ["metered", "flat"]
    assert client.post(f"{detail}end/", {"ends_on": None}, "application/json").status_code in {403, 404}
    client.force_login(client_b)
    assert client.get(detail).status_code == 404
    assert client.get(url).json()["results"] == []
    assert Contract.objects.get().ends_on.isoformat() == "2027-01-01"


def test_a_second_contract_in_the_same_time_is_refused_in_words(site, client_a):
    agree(client_a, site, "C-1")
    with pytest.raises(ValidationError, match="end that one first"):
        agree(client_a, site, "C-2", **METERED | {"rate_per_kwh": Decimal(1)})
