"""Signing in: the one door, its limits, and the trail that every attempt leaves."""
