from crm.models.billing import BilledMonth, BillingRun
from crm.models.contracts import Contract, ContractVersion
from crm.models.invoices import Invoice, InvoiceLine, Payment
from crm.models.numbering import BillingDetails, InvoiceCounter, InvoiceReminder
from crm.models.pipeline import Activity, Deal, DealStageChange, Lead
from crm.models.usage import UsageDay, UsageSnapshot

__all__ = [
    "Activity",
    "BilledMonth",
    "BillingDetails",
    "BillingRun",
    "Contract",
    "ContractVersion",
    "Deal",
    "DealStageChange",
    "Invoice",
    "InvoiceCounter",
    "InvoiceLine",
    "InvoiceReminder",
    "Lead",
    "Payment",
    "UsageDay",
    "UsageSnapshot",
]
