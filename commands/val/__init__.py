"""What val.py does: evaluates weights on a data set, reports, measures speed."""
