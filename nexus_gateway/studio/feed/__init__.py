"""Carries what was changed in one room to the others, and to whoever listens."""
