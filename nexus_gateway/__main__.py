"""`python -m nexus_gateway` is the command `nexus-gateway`."""

from nexus_gateway.cli import main

main()
