"""Intelligence: entities with tags and attributes, searched, recommended and reported on."""
