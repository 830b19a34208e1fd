"""Files of issued invoices: one PDF each, made once from what is stored, outside of every folder that the web serves."""

from crm.models import Invoice


def store_pdf(invoice: Invoice) -> Invoice:
    """Thin for now."""
    return invoice
