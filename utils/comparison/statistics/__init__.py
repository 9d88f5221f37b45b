"""Paired bootstrap, intervals, tests, power and verdict; knows numbers, not runs."""
