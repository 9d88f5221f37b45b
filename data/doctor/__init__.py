"""Checks a data set before it costs an epoch: findings with severity, place and advice."""
