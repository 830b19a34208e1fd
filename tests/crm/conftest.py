"""Bills for stories: a draft with two lines, an issued invoice."""

from decimal import Decimal

import pytest


@pytest.fixture(autouse=True)
def own_invoice_folder(settings, tmp_path) -> None:
    settings.INVOICE_DIR = tmp_path / "invoices"


@pytest.fixture
def draft(db, client_a, admin):
    """Make a draft: net 110.00, and 20 % tax where asked."""
    from crm.invoicing import DraftLine, draft_invoice
    from crm.states import LineKind

    def make(client=None, *, lines=None, **how):
        if lines is None:
            lines = [
                DraftLine(LineKind.ENERGY, "Energy", Decimal(1000), "kWh", Decimal("0.1"), Decimal("100.00")),
                DraftLine(LineKind.SETUP, "Racking", Decimal(1), "machine", Decimal(10), Decimal("10.00")),
            ]
        return draft_invoice(client=client or client_a, lines=lines, by=admin, **how)

    return make


@pytest.fixture
def issued(draft, admin):
    from crm.invoicing import issue_invoice

    def make(client=None, *, issue_date=None, **how):
        return issue_invoice(draft(client, **how), issue_date=issue_date, by=admin)

    return make
