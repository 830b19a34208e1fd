from crm.admin import contracts, invoices, payments, pipeline

__all__ = ["contracts", "invoices", "payments", "pipeline"]
