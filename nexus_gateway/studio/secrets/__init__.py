"""The HTTP side of the vault: secrets are put, listed by name and deleted, never answered."""
