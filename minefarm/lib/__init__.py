"""Leaves: small things that every app may use and that use no app."""
