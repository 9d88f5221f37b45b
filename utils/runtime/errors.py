"""Mistakes of the user that are found after the configuration was read."""


class UserError(Exception):
    """Something the user can fix; the text says what, where and what to do. Shown bare."""
