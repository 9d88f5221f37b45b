"""Errors of the user other than in the configuration."""


class UserError(Exception):
    """An error the user can fix; the text says what, where and what to do.

    Shown without traceback.
    """
