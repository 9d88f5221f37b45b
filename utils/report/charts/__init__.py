"""Charts as inline SVG, all on one plot area; the same as files for slides and papers."""
