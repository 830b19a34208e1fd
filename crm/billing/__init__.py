"""From the energy ledger to invoices: a month's evidence is frozen first, its lines are computed from nothing else.

months: what a month of a site is. usage: the frozen values. lines: what they come to (pure). snapshots: reading the ledger and
storing it. bills, runs: a month's preview and issue. letting_out: drafts that a person issues. verify: everything computed again.
docs/why/decisions/0033-billing-evidence.md
"""
