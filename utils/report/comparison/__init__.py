"""The charts of a comparison, one a file, each made from arrays in comparison.json."""
