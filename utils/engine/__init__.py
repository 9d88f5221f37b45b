"""Runs a training: loop, optimizer, schedule, EMA; gets models and data through protocols."""
