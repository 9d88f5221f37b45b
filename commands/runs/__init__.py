"""List, show and compare existing runs."""
