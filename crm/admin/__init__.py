from crm.admin import invoices

__all__ = ["invoices"]
