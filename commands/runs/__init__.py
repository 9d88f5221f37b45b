"""List, show and compare the runs that are there."""
