"""Leads and deals as files."""

from collections.abc import Sequence

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required
from crm.models import Deal, Lead
from hosting.downloads import csv_file

LEADS = (
    "id",
    "name",
    "email",
    "phone",
    "company",
    "status",
    "source",
    "score",
    "wanted_kw",
    "owner__email",
    "created_at",
)
DEALS = (
    *(
        "id",
        "title",
        "client__email",
        "stage",
        "probability",
        "value",
        "site__name",
        "miners",
        "power_kw",
        "price_per_kwh",
    ),
    *("term_months", "expected_close_date", "owner__email", "created_at", "closed_at"),
)


def names(columns: Sequence[str]) -> list[str]:
    """Heads of columns that come from other tables, without the way to them."""
    return [column.replace("__email", "").replace("__name", "") for column in columns]


@require_safe
@permission_required("lead:view")
def leads_csv(request: HttpRequest) -> HttpResponseBase:
    rows = Lead.objects.for_user(actor(request)).order_by("pk").values_list(*LEADS)
    return csv_file("leads.csv", names(LEADS), rows.iterator())


@require_safe
@permission_required("deal:view")
def deals_csv(request: HttpRequest) -> HttpResponseBase:
    rows = Deal.objects.for_user(actor(request)).order_by("pk").values_list(*DEALS)
    return csv_file("deals.csv", names(DEALS), rows.iterator())
