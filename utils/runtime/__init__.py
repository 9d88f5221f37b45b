"""The process: threads, seeds, devices, signals, run folders, progress; knows nothing of boxes or models."""
