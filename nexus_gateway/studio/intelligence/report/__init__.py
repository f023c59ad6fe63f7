"""The comprehensive report: what is known at a glance, made section by section."""
