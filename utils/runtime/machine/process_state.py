"""What another process of this machine does, as the system tells it."""

from pathlib import Path


def process_state(pid: int | None) -> str:
    """Return the letter of proc(5) for what a process does; "?" where it cannot be told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "?"
    fields = text.rpartition(")")[2].split()
    return fields[0] if fields else "?"


def is_stopped(pid: int | None) -> bool:
    """Tell whether a process was stopped by a signal or a debugger."""
    return process_state(pid) in ("T", "t")
