"""From images to predictions to loss: graph, blocks, heads, assigners, losses; never data."""
