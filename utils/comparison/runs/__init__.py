"""The runs of a comparison: planned, locked, carried out, read back."""
