"""Atomic writes, reads with one-line errors; run and cache folders; downloads."""
