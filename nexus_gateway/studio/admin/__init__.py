"""What operators do to a running gateway."""
