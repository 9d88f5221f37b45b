"""The exception of this package: a user's error in a configuration."""


class ConfigError(ValueError):
    """A configuration that cannot be used; one line a fault: what, where, what to do."""
