from crm.models.contracts import Contract, ContractVersion
from crm.models.invoices import Invoice, InvoiceLine, Payment
from crm.models.pipeline import Activity, Deal, DealStageChange, Lead
from crm.models.usage import UsageDay, UsageSnapshot

__all__ = [
    "Activity",
    "Contract",
    "ContractVersion",
    "Deal",
    "DealStageChange",
    "Invoice",
    "InvoiceLine",
    "Lead",
    "Payment",
    "UsageDay",
    "UsageSnapshot",
]
