"""Shows a result to a person; computes no metric."""
