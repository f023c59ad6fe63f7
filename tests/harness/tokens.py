"""How long the tokens of tests are valid."""

TOKEN_LIFETIME_S = 86_400
"""Longer than any run of the suite: many tokens are made when a test module is imported."""
