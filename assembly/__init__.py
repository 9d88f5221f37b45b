"""Puts parts together: the only place, besides entry points, where models and data meet."""
