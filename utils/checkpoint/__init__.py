"""Weights and training state on disk: atomic, never pickled; knows tensors, not models."""
