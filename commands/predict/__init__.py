"""What predict.py does: detects objects in images, videos and streams."""
