"""Results as text, for the screen and for a README."""
