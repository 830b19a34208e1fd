"""Mails about invoices, each with the PDF; sent by the outbox when it carries the event that asks for them.

A mail that fails is tried again with the event. It goes once, unless the process dies between the mail server's yes and the
commit that follows; then the second one bears the same Message-ID as the first.
"""

from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse

from crm.invoice_files import pdf_bytes
from crm.models import Invoice
from crm.payments import balance
from crm.states import InvoiceKind, InvoiceStatus
from events.handlers import handler
from events.models import OutboxEvent


@handler("invoice.issued", consumer="invoice mails")
def mail_issued(event: OutboxEvent) -> None:
    """To whom it was billed; the moment is kept with the invoice."""
    invoice = _of(event)
    what = "Credit note" if invoice.kind == InvoiceKind.CREDIT_NOTE else "Invoice"
    send(invoice, f"{what} {invoice.invoice_number}", "crm/mail/invoice.txt", event)


@handler("invoice.mail_wanted", consumer="invoice mails again")
def mail_again(event: OutboxEvent) -> None:
    mail_issued(event)


@handler("invoice.reminder", consumer="invoice reminders")
def mail_reminder(event: OutboxEvent) -> None:
    """Nothing, when it was paid meanwhile."""
    invoice = _of(event)
    if invoice.status not in {InvoiceStatus.SENT, InvoiceStatus.OVERDUE}:
        return
    late = event.payload["step"] > 0
    subject = f"{'Overdue' if late else 'Reminder'}: invoice {invoice.invoice_number}"
    send(invoice, subject, "crm/mail/reminder.txt", event, late=late)


def send(invoice: Invoice, subject: str, template: str, event: OutboxEvent, **more: object) -> None:
    """Render the mail, attach the PDF, hand it over; raises what the mail server says."""
    told = {
        "invoice": invoice,
        "name": invoice.bill_to.get("name", ""),
        "company": invoice.seller.get("name", ""),
        "open": balance(invoice),
        "url": settings.PUBLIC_URL and settings.PUBLIC_URL + reverse("invoices:invoice", args=[invoice.pk]),
        **more,
    }
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    message = EmailMessage(
        subject,
        render_to_string(template, told),
        to=[invoice.bill_to.get("email") or invoice.client.email],
        headers={"Message-ID": f"<{event.event_uuid}@{domain}>"},
    )
    message.attach(f"{invoice.invoice_number}.pdf", pdf_bytes(invoice), "application/pdf")
    message.send()
    Invoice.objects.filter(pk=invoice.pk, mailed_at=None).update(mailed_at=Now())


def _of(event: OutboxEvent) -> Invoice:
    return Invoice.objects.select_related("client").get(pk=event.payload["invoice_id"])
