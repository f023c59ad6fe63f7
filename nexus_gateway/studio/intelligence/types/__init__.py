"""Types of entities whose attributes are declared: their schemas, kept and checked."""
