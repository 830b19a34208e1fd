"""Leads, deals, contracts and invoices."""
