"""The content of comparison.json: what each arm reached, and what stands beside it."""
