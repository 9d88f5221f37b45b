"""What five articles on focal loss print, computed again; `../article_rows.py` shows it."""
