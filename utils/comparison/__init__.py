"""Compares runs: starts them, reads their folders, and says what is better, and how surely."""
