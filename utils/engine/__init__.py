"""Runs a training: loop, optimizer, schedule, EMA, stopping; gets models and data through protocols."""
