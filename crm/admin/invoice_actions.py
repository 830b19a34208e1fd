"""What staff do to the invoices that they ticked; some actions ask in a form first."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSingleDateWidget, UnfoldAdminTextInputWidget

from accounts.access import actor
from accounts.stepup import step_up_required
from crm.billing.letting_out import issue_draft
from crm.invoice_files import keep_pdf
from crm.invoicing import InvoiceRefused, mail_again, today
from crm.models import Invoice
from crm.payments import credit_invoice, part_of, record_payment

Invoices = QuerySet[Invoice]


class PaymentForm(forms.Form):
    amount = forms.DecimalField(
        max_digits=12, decimal_places=2, widget=UnfoldAdminDecimalFieldWidget(), help_text="Below zero: it went back."
    )
    received_on = forms.DateField(widget=UnfoldAdminSingleDateWidget())
    method = forms.CharField(max_length=30, initial="bank", widget=UnfoldAdminTextInputWidget())
    reference = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Of the bank or the block chain; the same one is entered once.",
    )
    note = forms.CharField(max_length=500, required=False, widget=UnfoldAdminTextInputWidget(), help_text="For staff.")


class CreditForm(forms.Form):
    net = forms.DecimalField(
        max_digits=12,
        decimal_places=2,
        min_value=Decimal("0.01"),
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(),
        label="Part, before tax",
        help_text="Empty: all that was not credited yet.",
    )
    reason = forms.CharField(
        max_length=300, widget=UnfoldAdminTextInputWidget(), help_text="Printed on the credit note."
    )


class InvoiceActions(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Each is one call of crm.invoicing or crm.payments."""

    actions = ("issue", "pay", "credit", "mail", "export")

    def has_issue_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("invoice:issue")

    def has_void_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("invoice:void")

    def has_pay_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("payment:add")

    @admin.action(description="Issue: number, mail, no way back", permissions=["issue"])
    @step_up_required
    def issue(self, request: HttpRequest, queryset: Invoices) -> None:
        issued = []
        for invoice in queryset.order_by("pk"):
            try:
                issued.append(keep_pdf(issue_draft(invoice, by=actor(request))).invoice_number)
            except InvoiceRefused as refusal:
                messages.warning(request, f"Draft #{invoice.pk}: {refusal}")
        if issued:
            messages.success(request, f"Issued: {', '.join(issued[:10])}{', …' if len(issued) > 10 else ''}.")

    @admin.action(description="Enter a payment…", permissions=["pay"])
    @step_up_required
    def pay(self, request: HttpRequest, queryset: Invoices) -> HttpResponse | None:
        asking = {"action": "pay", "title": "Enter a payment", "verb": "Enter"}
        first: Any = queryset.first()
        offered = {"received_on": today(), "method": "bank", "amount": getattr(first, "open_amount", None)}
        form = PaymentForm(request.POST) if "apply" in request.POST else PaymentForm(initial=offered)
        if queryset.count() != 1:
            messages.warning(request, "Tick one invoice: a payment belongs to one.")
            return None
        if not form.is_valid():
            return self._ask(request, queryset, form, **asking)
        try:
            payment = record_payment(first, **form.cleaned_data, by=actor(request))
        except InvoiceRefused as refusal:
            form.add_error("amount", str(refusal))
            return self._ask(request, queryset, form, **asking)
        messages.success(request, f"{first.currency} {payment.amount:.2f} entered for {first}.")
        return None

    @admin.action(description="Credit…", permissions=["void"])
    @step_up_required
    def credit(self, request: HttpRequest, queryset: Invoices) -> HttpResponse | None:
        asking = {"action": "credit", "title": "Issue credit notes", "verb": "Credit"}
        form = CreditForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._ask(request, queryset, form, **asking)
        net, reason = form.cleaned_data["net"], form.cleaned_data["reason"]
        for invoice in queryset.order_by("pk"):
            lines = None if net is None else part_of(invoice, net, reason)
            try:
                note = keep_pdf(credit_invoice(invoice, lines=lines, reason=reason, by=actor(request)))
            except InvoiceRefused as refusal:
                messages.warning(request, str(refusal))
            else:
                messages.success(request, f"{note} takes {note.currency} {-note.amount:.2f} off {invoice}.")
        return None

    @admin.action(description="Mail again", permissions=["issue"])
    def mail(self, request: HttpRequest, queryset: Invoices) -> None:
        sent = 0
        for invoice in queryset.order_by("pk"):
            try:
                mail_again(invoice, by=actor(request))
            except InvoiceRefused as refusal:
                messages.warning(request, str(refusal))
            else:
                sent += 1
        if sent:
            messages.success(request, f"{sent} mail{'' if sent == 1 else 's'} will go out with the next events.")

    def _ask(self, request: HttpRequest, queryset: Invoices, form: forms.Form, **words: str) -> HttpResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            **words,
            "opts": self.model._meta,  # noqa: SLF001  the name admin templates know it by
            "form": form,
            "invoices": list(queryset.order_by("pk")[:20]),
            "count": queryset.count(),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/crm/invoice/ask.html", context)
