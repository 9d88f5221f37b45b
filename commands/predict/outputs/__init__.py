"""What predict.py writes: pictures, videos, tables."""
