"""Measurements against what a user would pick instead; each file is a command of its own."""
