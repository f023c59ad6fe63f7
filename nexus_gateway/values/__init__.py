"""Values and their rules: JSON, schemas, rates, names, credentials. Nothing of HTTP."""
