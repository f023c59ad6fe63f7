"""The dashboard: the page of `dashboard/`, built by `make setup` into `dist/` here."""
