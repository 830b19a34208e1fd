from crm.admin import contracts, invoices

__all__ = ["contracts", "invoices"]
