"""How many files this process may hold open."""

from contextlib import suppress

ENOUGH = 1 << 16
"""Open files beyond which nothing here goes."""


def raise_handle_limit() -> None:
    """Let this process hold as many files open as the system grants it, at most `ENOUGH`.

    Systems start programs with 1024, the limit of an old function. Every tensor of a batch on its
    way between processes is one, and so are the pipes of each worker.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # some systems grant less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
