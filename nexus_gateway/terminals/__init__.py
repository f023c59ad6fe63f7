"""Terminals: what the core answers itself, at the end of a chain."""

from nexus_gateway.terminals.answer import answer
from nexus_gateway.terminals.echo import echo
from nexus_gateway.terminals.files import files
from nexus_gateway.terminals.hub import hub, namespace, who
from nexus_gateway.terminals.metrics import metrics

__all__ = ["answer", "echo", "files", "hub", "metrics", "namespace", "who"]
