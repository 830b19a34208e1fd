"""Contracts: terms with dates, one contract at a time, and what was billed stays."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.models import User
from crm.billing.runs import issue_run
from crm.contracts import TermsBilled, add_version, check_version, end_contract, is_billed
from crm.models import Contract, ContractVersion
from hosting.models import Site
from minefarm.lib.rls import walled
from tests.crm.billing_cast import METERED, OCTOBER, agree, run_machines


@pytest.fixture
def billed(site, make_miner, client_a, admin):
    run_machines(site, [make_miner("A-1", client=client_a)])
    contract = agree(client_a, site)
    add_version(contract, date(2026, 10, 16), by=admin, **METERED | {"rate_per_kwh": Decimal("0.08")})
    add_version(contract, date(2026, 11, 1), by=admin, **METERED)
    issue_run(OCTOBER, by=admin)
    return contract


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"pricing": "metered"}, "rate_per_kwh"),
        ({"pricing": "nameplate"}, "rate_per_kwh"),
        ({"pricing": "flat", "rate_per_kwh": 1}, "flat_per_miner"),
        ({"pricing": "revenue_share", "flat_per_miner": 1}, "revenue_share_pct"),
        ({"pricing": "revenue_share", "revenue_share_pct": 1, "currency": "EUR"}, "currency"),
        ({"pricing": "pass_through"}, "rate_per_kwh"),
        ({"pricing": "barter"}, "pricing"),
        ({**METERED, "currency": "dollars"}, "currency"),
        ({**METERED, "rate_per_kwh": -1}, "rate_per_kwh"),
        ({**METERED, "uptime_guarantee_pct": 101}, "uptime_guarantee_pct"),
    ],
)
def test_terms_say_all_that_their_kind_needs(site, client_a, terms, field):
    with pytest.raises(ValidationError) as refused:
        agree(client_a, site, **terms)
    assert list(refused.value.message_dict) == [field]
    assert not Contract.objects.exists()


def test_one_contract_of_a_customer_and_site_at_a_time(site, client_a, client_b):
    first = agree(client_a, site, "C-1", ends_on=date(2026, 7, 1))
    with pytest.raises(ValidationError, match="another contract"):
        agree(client_a, site, "C-2", date(2026, 6, 30))
    agree(client_a, site, "C-2", date(2026, 7, 1))
    agree(client_b, site, "C-3")
    agree(client_a, Site.objects.create(name="South"), "C-4")
    with pytest.raises(IntegrityError), transaction.atomic():
        Contract.objects.filter(pk=first.pk).update(ends_on=None)
    with pytest.raises(ValidationError, match="number"):
        agree(client_a, Site.objects.create(name="East"), "C-4")


def test_versions_hold_within_the_contract(site, client_a, admin):
    contract = agree(client_a, site, ends_on=date(2027, 1, 1))
    for outside in (date(2025, 12, 31), date(2027, 1, 1)):
        with pytest.raises(ValidationError, match="within its dates"):
            add_version(contract, outside, by=admin, **METERED)
    with pytest.raises(ValidationError, match="already exists"):
        add_version(contract, date(2026, 1, 1), by=admin, **METERED)
    add_version(contract, date(2026, 12, 31), by=admin, **METERED)
    with pytest.raises(ValidationError, match="delete those first"):
        end_contract(contract, date(2026, 12, 31), by=admin)
    assert end_contract(contract, None, by=admin).ends_on is None


def test_terms_that_were_billed_stay_on_every_door(billed, admin):
    old, middle, new = billed.versions.order_by("valid_from")
    assert [is_billed(version) for version in (old, middle, new)] == [True, True, False]
    for version in (old, middle):
        version.refresh_from_db()
        with pytest.raises(TermsBilled):
            check_version(version)
        for statement in ("UPDATE crm_contract_versions SET tax_pct = 1", "DELETE FROM crm_contract_versions"):
            with (
                pytest.raises(DatabaseError, match="were billed and stay"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(f"{statement} WHERE id = %s", [version.pk])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE crm_contract_versions SET tax_pct = 1 WHERE id = %s", [new.pk])
        assert cursor.rowcount == 1
    with pytest.raises(ValidationError, match="2026-11-01 or later"):
        add_version(billed, date(2026, 10, 20), by=admin, **METERED)
    with pytest.raises(ValidationError, match="2026-11-01 or later"):
        end_contract(billed, date(2026, 10, 20), by=admin)


def test_a_billed_contract_keeps_its_customer_site_and_first_day(billed, client_b):
    for change in ("starts_on = starts_on - 1", f"client_id = '{client_b.pk}'"):
        with pytest.raises(DatabaseError, match="was billed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE crm_contracts SET {change}")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE crm_contracts SET number = 'C-9'")
        cursor.execute("SELECT count(*) FROM crm_billed_months")
        assert cursor.fetchone() == (1,)
    for statement in ("DELETE FROM crm_billed_months", "UPDATE crm_billed_months SET month = '2026-09-01'"):
        with pytest.raises(DatabaseError, match="month is billed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_a_customer_reads_their_own_contract_and_usage_and_nobody_elses(billed, site, client_a, client_b, make_miner):
    agree(client_b, site, "C-B")
    for person, contracts, versions, snapshots, days in ((client_a, 1, 3, 1, 31), (client_b, 1, 1, 0, 0)):
        with walled(person.pk), connection.cursor() as cursor:
            found = []
            for table in ("crm_contracts", "crm_contract_versions", "crm_usage_snapshots", "crm_usage_days"):
                cursor.execute(f"SELECT count(*) FROM {table}")
                found.append(cursor.fetchone()[0])
            assert found == [contracts, versions, snapshots, days]
        mine = Contract.objects.for_user(User.objects.get(pk=person.pk))
        assert [contract.client_id for contract in mine] == [person.pk]
    with walled(client_a.pk):
        for statement in ("SELECT created_by_id FROM crm_contracts", "SELECT 1 FROM crm_billed_months"):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_what_is_not_issued_is_not_shown(site, make_miner, client_a, admin):
    from crm.models import UsageDay, UsageSnapshot

    machine = make_miner("A-1", client=client_a)
    run_machines(site, [machine])
    agree(client_a, site)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE miner_telemetry_hour SET gap_s = 3600")
    assert issue_run(OCTOBER, by=admin).bills[0].outcome == "held"
    assert UsageSnapshot.objects.for_user(client_a).count() == 0
    with walled(client_a.pk):
        assert UsageDay.objects.count() == UsageSnapshot.objects.count() == 0
    assert UsageSnapshot.objects.for_user(admin).count() == 1
    assert ContractVersion.objects.count() == 1
