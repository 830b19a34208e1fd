"""Wiring: settings, URLs, schedule, and what spans the apps."""
