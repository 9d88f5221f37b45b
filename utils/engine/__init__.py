"""Training: loop, optimizer, schedule, EMA; gets models and data through protocols."""
