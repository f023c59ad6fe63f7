"""The NEXUS back ends, one room each; `app` composes them."""
