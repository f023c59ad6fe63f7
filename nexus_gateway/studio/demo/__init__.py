"""Real data for a running gateway: this machine's own Debian packages, or Python distributions."""

from nexus_gateway.studio.demo.command import load_source
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.loader import Loaded, load
from nexus_gateway.studio.demo.sources import SOURCES, Source

__all__ = ["SOURCES", "DemoError", "Loaded", "Source", "load", "load_source"]
