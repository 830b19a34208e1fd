from crm.admin import contracts, invoices, pipeline

__all__ = ["contracts", "invoices", "pipeline"]
