"""Weights into and out of detectors: metadata, transfer, names of other programs."""
