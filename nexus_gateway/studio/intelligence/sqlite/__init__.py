"""Entities in SQLite."""
