"""Paired bootstrap, intervals, tests, power and verdict, on arrays of numbers."""
