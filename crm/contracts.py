"""Contracts and their terms. What was billed stays: the database refuses the rest, these say so before, in words."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from crm.billing.lines import PRICES, USD
from crm.billing.months import month_after
from crm.models import Contract, ContractVersion, Deal, Invoice
from crm.states import InvoiceStatus, Pricing
from hosting.models import Site

NEEDED = {
    "rate_per_kwh": "This kind of pricing needs a price per kWh: 0 is one.",
    "flat_per_miner": "This kind of pricing needs a price per machine and month.",
    "revenue_share_pct": "This kind of pricing needs a share of the revenue.",
}


class TermsBilled(ValidationError):
    """The terms stand behind an invoice that was issued."""


@transaction.atomic
def create_contract(
    *,
    number: str,
    client: User,
    site: Site,
    starts_on: date,
    ends_on: date | None = None,
    deal: Deal | None = None,
    terms: dict[str, Any],
    by: User | None,
) -> Contract:
    """A contract with its first terms, which hold from its first day. Raises ValidationError, by field."""
    contract = Contract(
        number=number.strip(),
        client=client,
        site=site,
        starts_on=starts_on,
        ends_on=ends_on,
        deal=deal,
        created_by=by,
    )
    contract.full_clean()
    contract.save()
    add_version(contract, starts_on, by=by, **terms)
    return contract


@transaction.atomic
def add_version(contract: Contract, valid_from: date, *, by: User | None, **terms: Any) -> ContractVersion:  # noqa: ARG001  who did it is the log's
    """Terms from `valid_from` on. Raises ValidationError: outside of the contract, within a billed month, or incomplete."""
    Contract.objects.select_for_update(of=("self",)).get(pk=contract.pk)
    version = ContractVersion(contract=contract, valid_from=valid_from, **terms)
    version.full_clean()
    check_version(version)
    version.save()
    return version


@transaction.atomic
def end_contract(contract: Contract, ends_on: date | None, *, by: User | None) -> Contract:  # noqa: ARG001  likewise
    """Let the contract end before this day, or with None until further notice. Raises ValidationError."""
    locked = Contract.objects.select_for_update(of=("self",)).get(pk=contract.pk)
    locked.ends_on = ends_on
    check_end(locked)
    locked.full_clean()
    locked.save(update_fields=["ends_on", "updated_at"])
    return locked


def check_version(version: ContractVersion) -> None:
    """What the columns alone do not say; called by every door. Raises ValidationError, by field."""
    contract, errors = version.contract, {}
    if version.pk and is_billed(version):
        raise TermsBilled("These terms were billed and stay as they are: add a version from a later day.")
    if version.pricing in Pricing.values:
        for column in PRICES[version.pricing]:
            if getattr(version, column) is None:
                errors[column] = NEEDED[column]
        if version.pricing == Pricing.REVENUE_SHARE and version.currency != USD:
            errors["currency"] = "A share of the revenue is billed in USD: hashprices are in USD."
    if contract.starts_on and version.valid_from:
        until = billed_until(contract) if contract.pk else None
        if version.valid_from < contract.starts_on or (contract.ends_on and version.valid_from >= contract.ends_on):
            errors["valid_from"] = "Terms hold from a day of the contract on: choose one within its dates."
        elif until and version.valid_from < until:
            errors["valid_from"] = f"Months before {until} are billed: let new terms begin on {until} or later."
    if errors:
        raise ValidationError(errors)


def check_end(contract: Contract) -> None:
    """Raises ValidationError for an end within what is billed already, or before terms that begin later."""
    if contract.pk and contract.ends_on:
        until = billed_until(contract)
        if until and contract.ends_on < until:
            raise ValidationError({"ends_on": f"Months before {until} are billed: end it on {until} or later."})
        if contract.versions.filter(valid_from__gte=contract.ends_on).exists():
            raise ValidationError({"ends_on": "Terms begin on that day or later: delete those first."})


def billed_until(contract: Contract) -> date | None:
    """The first day after the last month that was invoiced."""
    billed = contract.billed_months.exclude(invoice__status=InvoiceStatus.DRAFT).order_by("-month").first()
    return month_after(billed.month) if billed else None


def is_billed(version: ContractVersion) -> bool:
    """Whether an issued invoice stands on these terms; the trigger crm_contract_versions_keep asks the same."""
    if version.invoices.exclude(status=InvoiceStatus.DRAFT).exists():
        return True
    issued = Invoice.objects.filter(snapshot__contract=version.contract_id).exclude(status=InvoiceStatus.DRAFT)
    return issued.filter(snapshot__inputs__contains={"parts": [{"terms": {"version_id": version.pk}}]}).exists()


def check_first_terms(contract: Contract, starts: Iterable[date]) -> None:
    """Raises ValidationError unless terms hold from the contract's first day on."""
    found: Sequence[date] = sorted(starts)
    if not found or found[0] != contract.starts_on:
        raise ValidationError(f"Add terms that hold from the contract's first day on, {contract.starts_on}.")
