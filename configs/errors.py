"""The one exception of this package: a user's mistake in a configuration."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the text says what, where and what to do, in one line a fault."""
