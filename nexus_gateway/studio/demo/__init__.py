"""Real data for a running gateway: this machine's own Debian packages, or Python distributions."""

from nexus_gateway.studio.demo.command import load_source
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.loader import Loaded, load
from nexus_gateway.studio.demo.sources import SOURCES, Source
from nexus_gateway.studio.demo.upload import import_file

__all__ = ["SOURCES", "DemoError", "Loaded", "Source", "import_file", "load", "load_source"]
