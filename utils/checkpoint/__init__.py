"""Weights and training state on disk, atomic and never pickled; knows tensors, names, metadata, not models."""
