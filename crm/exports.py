"""Leads and deals as files; texts that a spreadsheet program would run as formulas get a quote before them."""

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required
from crm.models import Deal, Lead
from hosting.cells import harmless

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


@require_safe
@permission_required("lead:view")
def leads_csv(request: HttpRequest) -> HttpResponse:
    rows = Lead.objects.for_user(actor(request)).order_by("pk").values_list(*LEADS)
    return as_file("leads.csv", LEADS, rows.iterator())


@require_safe
@permission_required("deal:view")
def deals_csv(request: HttpRequest) -> HttpResponse:
    rows = Deal.objects.for_user(actor(request)).order_by("pk").values_list(*DEALS)
    return as_file("deals.csv", DEALS, rows.iterator())


def as_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    """A CSV file to download, in UTF-8."""
    reply = HttpResponse(content_type="text/csv; charset=utf-8")
    reply["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    writer = csv.writer(reply, lineterminator="\n")
    writer.writerow(column.replace("__email", "").replace("__name", "") for column in columns)
    for row in rows:
        writer.writerow(_cell(value) for value in row)
    return reply


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return harmless(value) if isinstance(value, str) else value
