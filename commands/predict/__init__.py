"""What predict.py does: finds objects in images, videos and streams."""
