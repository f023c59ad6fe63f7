"""Entities in PostgreSQL."""
