"""The runs of a comparison: plan, locks, engines, results."""
