"""What check_data.py does: checks a data set."""
