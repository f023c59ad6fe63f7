"""Terminals: what the core answers itself, at the end of a chain."""

from nexus_gateway.describe.terminals.answer import answer
from nexus_gateway.describe.terminals.echo import echo
from nexus_gateway.describe.terminals.files import files
from nexus_gateway.describe.terminals.metrics import metrics

__all__ = ["answer", "echo", "files", "metrics"]
