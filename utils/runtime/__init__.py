"""The process: threads, seeds, devices, run folders; knows nothing of boxes or models."""
