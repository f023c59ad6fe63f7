"""Layers: what is done around every route; the core executes them.

Errors, metrics and trace wrap every gateway and have no options; the rest is asked for with
`Routes.wrap(...)`.
"""

from nexus_gateway.describe.layers.compress import compress
from nexus_gateway.describe.layers.cors import cors
from nexus_gateway.describe.layers.limit import limit
from nexus_gateway.describe.layers.log import log
from nexus_gateway.describe.layers.timeout import timeout

__all__ = ["compress", "cors", "limit", "log", "timeout"]
