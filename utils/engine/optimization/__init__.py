"""Optimizer, learning rate schedule, gradients and their memory, EMA of the weights."""
