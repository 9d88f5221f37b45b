"""What export.py does: weights into files that other programs run, each checked."""
