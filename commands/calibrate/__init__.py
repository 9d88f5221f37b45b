"""What calibrate.py does: fits a score calibrator and writes it into a copy of the weights."""
