"""Whole pages: one HTML file each that needs neither network nor script."""
