"""Queries whose answers are told again whenever they change."""
