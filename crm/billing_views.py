"""Pages of billing for whoever may issue invoices: preview a month, look at what is odd, issue it."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from kombu.exceptions import OperationalError

from accounts.access import actor, permission_required, staff_required
from accounts.stepup import step_up, step_up_required
from crm.billing import background, snapshots
from crm.billing.holds import holds
from crm.billing.ledger import month_ledger
from crm.billing.letting_out import NotHeld, issue_held
from crm.billing.lines import add_up, lines_of, net_of
from crm.billing.months import BadMonth, month_after, month_before, month_of
from crm.billing.runs import standing
from crm.billing.unbilled import unbilled
from crm.invoicing import InvoiceRefused
from crm.models import BillingRun, Contract, Invoice
from crm.states import InvoiceStatus
from crm.tasks import run_billing
from hosting.models import Site

RUNS_SHOWN = 10
DAYS_A_PAGE = 200
STUCK_AFTER = timedelta(minutes=20)


class MonthField(forms.CharField):
    """`2026-10` as its first day."""

    widget = forms.TextInput(attrs={"type": "month"})

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return month_of(text)
        except BadMonth as error:
            raise forms.ValidationError(str(error)) from error


class RunForm(forms.Form):
    """Which month, of which site, and whether it is for good."""

    month = MonthField()
    site: Any = forms.ModelChoiceField(queryset=Site.objects.none(), required=False)
    issue = forms.BooleanField(required=False)

    def __init__(self, given: Any, sites: Any) -> None:
        super().__init__(given)
        self.fields["site"].queryset = sites  # type: ignore[attr-defined]  # of a choice field


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=500)


def last_month() -> date:
    return month_before(timezone.now().date())


@require_safe
@staff_required
@permission_required("invoice:issue")
def billing(request: HttpRequest) -> HttpResponse:
    """Choose a month; the runs of late."""
    try:
        month = month_of(request.GET["month"]) if request.GET.get("month") else last_month()
    except BadMonth as error:
        messages.error(request, str(error))
        month = last_month()
    runs = BillingRun.objects.select_related("site", "started_by").defer("outcomes")[:RUNS_SHOWN]
    context = {
        "nav": "billing",
        "month": month,
        "sites": Site.objects.for_user(actor(request)).order_by("name"),
        "runs": runs,
    }
    return render(request, "crm/billing.html", context)


@require_POST
@staff_required
@permission_required("invoice:issue")
def start_run(request: HttpRequest) -> HttpResponse:
    """Have a worker preview a month, or issue it after a fresh proof of who asks."""
    user = actor(request)
    form = RunForm(request.POST, Site.objects.for_user(user))
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(str(error) for error in errors))
        return redirect("billing:billing")
    asked = form.cleaned_data
    if asked["issue"] and (refusal := step_up(request)):
        return refusal
    run = background.start(asked["month"], site=asked["site"], dry_run=not asked["issue"], by=user)
    try:
        run_billing.delay(run.pk)
    except OperationalError:
        BillingRun.objects.filter(pk=run.pk).update(
            status=BillingRun.Status.FAILED,
            error="The queue does not answer: start Valkey and a worker, then try again.",
        )
    return redirect("billing:run", run.pk)


@never_cache
@require_safe
@staff_required
@permission_required("invoice:issue")
def run_page(request: HttpRequest, pk: int) -> HttpResponse:
    """How far a run is, and what came of it; asks again while it goes on."""
    run = get_object_or_404(BillingRun.objects.select_related("site", "started_by"), pk=pk)
    # Drafts may have been let out since.
    ids = [row["invoice_id"] for row in run.bills if row["invoice_id"]]
    now = {invoice.pk: invoice for invoice in Invoice.objects.filter(pk__in=ids)}
    rows = [
        row
        | {
            "url": f"{reverse('billing:contract', args=[row['contract_id']])}?month={run.month:%Y-%m}",
            "issued": (found := now.get(row["invoice_id"])) is not None and found.status != InvoiceStatus.DRAFT,
            "held": found is not None and found.status == InvoiceStatus.DRAFT and bool(found.held_for),
            "number": found.invoice_number if found is not None else "",
        }
        for row in run.bills
    ]
    totals: dict[str, Any] = {}
    for bill in rows:
        totals[bill["currency"]] = totals.get(bill["currency"], 0) + Decimal(bill["amount"])
    context = {
        "nav": "billing",
        "run": run,
        "rows": rows,
        "totals": totals,
        "unbilled": unbilled(run.month, site=run.site) if run.status == BillingRun.Status.DONE else (),
        "stuck": not run.over and timezone.now() - run.created_at > STUCK_AFTER,
        "held": sum(bool(row["held_for"]) and not row["issued"] for row in rows),
    }
    return render(request, "crm/billing_run.html", context)


@never_cache
@require_safe
@staff_required
@permission_required("invoice:issue")
def contract_month(request: HttpRequest, pk: int) -> HttpResponse:
    """One contract's month: lines, what is odd, and each machine's days, as the ledger has them now or as they were issued."""
    contract = get_object_or_404(
        Contract.objects.for_user(actor(request)).select_related("client", "site").prefetch_related("versions"), pk=pk
    )
    try:
        month = month_of(request.GET.get("month") or f"{last_month():%Y-%m}")
    except BadMonth as error:
        messages.error(request, str(error))
        return redirect("billing:billing")
    now = standing(contract, month)
    if now.issued:
        return redirect("invoices:invoice", now.issued.pk)
    with month_ledger(contract.site, month, [contract]) as ledger:
        usage = ledger.usage(contract, first_invoice=snapshots.is_first_invoice(contract, month))
    lines = lines_of(usage)
    days = Paginator(sorted(usage.days, key=lambda day: (day.serial_number, day.day)), DAYS_A_PAGE)
    draft = now.draft.invoice if now.draft else None
    context = {
        "nav": "billing",
        "contract": contract,
        "month": month,
        "until": month_after(month),
        "lines": lines,
        "net": net_of(lines),
        "holds": holds(usage),
        "sums": add_up(usage.days),
        "page_obj": days.get_page(request.GET.get("page")),
        "draft": draft,
        "currency": usage.parts[-1].terms.currency if usage.parts else "",
    }
    return render(request, "crm/billing_contract.html", context)


@require_POST
@staff_required
@permission_required("invoice:issue")
@step_up_required
def let_out(request: HttpRequest, pk: int) -> HttpResponse:
    """Issue a draft that a run held back, for a reason that is kept."""
    invoice = get_object_or_404(Invoice.objects.for_user(actor(request)), pk=pk)
    form = ReasonForm(request.POST)
    try:
        issued = (
            issue_held(invoice, reason=request.POST.get("reason", ""), by=actor(request)) if form.is_valid() else None
        )
    except (NotHeld, InvoiceRefused) as refused:
        messages.error(request, str(refused))
        return redirect("billing:billing")
    if issued is None:
        messages.error(request, "Say in at most 500 characters why it goes out though it was held back.")
        return redirect("billing:billing")
    messages.success(request, f"{issued.invoice_number} was issued.")
    return redirect("invoices:invoice", issued.pk)
