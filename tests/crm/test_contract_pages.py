"""A customer reads what was agreed, in words, and what was billed by it; of others' contracts there is nothing."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from crm.contract_words import in_words
from crm.contracts import add_version, create_contract, end_contract
from crm.models import ContractVersion
from crm.states import Pricing

METERED = {"pricing": "metered", "rate_per_kwh": Decimal("0.065000"), "deposit": Decimal(5000)}


@pytest.fixture
def contract(site, client_a, owner, miner_a):
    terms = METERED | {"uptime_guarantee_pct": Decimal("97.500"), "terms": "Spare parts\nare the farm's."}
    made = create_contract(
        number="H-2026-7", client=client_a, site=site, starts_on=date(2026, 1, 1), terms=terms, by=owner
    )
    dearer = METERED | {"rate_per_kwh": Decimal("0.07")}
    add_version(made, timezone.localdate() + timedelta(days=400), by=owner, **dearer)
    return made


@pytest.mark.django_db
def test_the_terms_are_told_in_words_with_later_ones(client, client_a, contract):
    client.force_login(client_a)
    page = client.get(reverse("invoices:contract", args=[contract.pk])).content.decode()
    for words in (
        "USD 0.065 for each kWh that your machines were measured to use",
        "97.5 % of the month is guaranteed",
        "USD 5,000.00, on the first invoice",
        "Spare parts<br>are the farm&#x27;s.",
        "do not count against the uptime",
        "within 14 days",
        "USD 0.07 for each kWh",
        "North",
    ):
        assert words in page
    assert page.index("Terms from") < page.index("Terms since")
    listed = client.get(reverse("invoices:contracts")).content.decode()
    assert "H-2026-7" in listed
    assert "metered, per kWh, USD" in listed


@pytest.mark.django_db
def test_of_others_contracts_there_is_nothing(client, client_b, guest, operator, contract):
    for person in (client_b, guest, operator):
        client.force_login(person)
        assert client.get(reverse("invoices:contract", args=[contract.pk])).status_code in {403, 404}
        assert b"H-2026-7" not in client.get(reverse("invoices:contracts")).content


@pytest.mark.django_db
def test_an_ended_contract_says_so(client, client_a, contract, owner):
    contract.versions.filter(valid_from__gt=timezone.localdate()).delete()
    end_contract(contract, timezone.localdate(), by=owner)
    client.force_login(client_a)
    assert "ended" in client.get(reverse("invoices:contracts")).content.decode()


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        (
            {"pricing": "nameplate", "rate_per_kwh": Decimal("0.08")},
            "USD 0.08 for each kWh of your machines' rated power",
        ),
        ({"pricing": "flat", "flat_per_miner": Decimal("120.00")}, "USD 120 for each machine and month"),
        (
            {"pricing": "revenue_share", "revenue_share_pct": Decimal("12.500")},
            "12.5 % of what your machines' hashrate",
        ),
        ({"pricing": "pass_through", "rate_per_kwh": Decimal(0)}, "USD 0 for each kWh on top"),
    ],
)
def test_every_pricing_has_its_sentence(terms, sentence):
    assert sentence in in_words(ContractVersion(**terms))[0][1]
    assert len(Pricing) == 5
