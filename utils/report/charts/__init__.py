"""Charts as inline SVG, and the same as PNG where matplotlib is there."""
