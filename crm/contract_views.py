"""Pages about contracts, for the customers who have them: the terms in words, since when, and what was billed by them."""

from datetime import date

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required
from accounts.models import User
from crm.contract_words import in_words
from crm.invoice_views import A_PAGE, LISTED, issued_to
from crm.models import Contract, ContractVersion
from crm.payments import with_balance
from hosting.models import Site

SHOWN = ("number", "client_id", "site_id", "starts_on", "ends_on")


def contracts_of(user: User) -> "QuerySet[Contract]":
    """Contracts that the person may see; a customer whose machines are all gone knows the contract, and the site no more."""
    named = Site.objects.filter(pk=OuterRef("site_id")).values("name")[:1]
    return (
        Contract.objects.for_user(user).only(*SHOWN).annotate(site_name=Subquery(named)).order_by("-starts_on", "-pk")
    )


@require_safe
@permission_required("contract:view")
def contract_list(request: HttpRequest) -> HttpResponse:
    """The newest hundred; staff look for older ones in Admin."""
    found = list(contracts_of(actor(request)).prefetch_related("versions")[:100])
    today = timezone.localdate()
    rows = [(contract, _in_force(contract, today)) for contract in found]
    return render(request, "crm/contracts.html", {"nav": "invoices", "rows": rows, "today": today})


@require_safe
@permission_required("contract:view")
def contract_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Of a contract that is somebody else's there is nothing."""
    user = actor(request)
    contract = get_object_or_404(contracts_of(user).prefetch_related("versions"), pk=pk)
    today = timezone.localdate()
    now = _in_force(contract, today)
    bills = issued_to(user).filter(snapshot__contract=contract.pk) if user.may("invoice:view") else None
    context = {
        "nav": "invoices",
        "contract": contract,
        "today": today,
        "versions": [(one, one == now, one.valid_from > today, in_words(one)) for one in contract.versions.all()],
        "invoices": [] if bills is None else with_balance(bills.only(*LISTED))[:A_PAGE],
    }
    return render(request, "crm/contract.html", context)


def _in_force(contract: Contract, day: date) -> ContractVersion | None:
    """The terms of that day; versions come newest first."""
    return next((one for one in contract.versions.all() if one.valid_from <= day), None)
