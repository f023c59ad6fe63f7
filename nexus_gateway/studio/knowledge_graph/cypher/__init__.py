"""The read-only part of openCypher that both engines run alike: read, checked, written anew."""
