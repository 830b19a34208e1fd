"""Why a rule would stop machines now: one file per kind, pure. What comes of it is curtailment/rules.py.

Each kind reads its settings from JSON (`parse`, which raises BadSettings) and turns what is known at a moment into a Wish.
The dwell (dwell.py) turns wishes, one per evaluation, into a Decision that never flaps.
"""
