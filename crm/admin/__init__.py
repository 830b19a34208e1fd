from crm.admin import invoices, pipeline

__all__ = ["invoices", "pipeline"]
