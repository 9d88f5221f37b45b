"""Comparison of arms: runs, statistics, and the summary with its verdicts."""
