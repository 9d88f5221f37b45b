"""The content of comparison.json: results of each arm, and further metrics."""
