from crm.admin import pipeline

__all__ = ["pipeline"]
