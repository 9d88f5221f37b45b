"""convert.py: data sets in another format, foreign weights as ours."""
