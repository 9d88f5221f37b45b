"""State of another process of this machine."""

from pathlib import Path


def process_state(pid: int | None) -> str:
    """Return the state letter of a process as in proc(5); "?" where unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "?"
    fields = text.rpartition(")")[2].split()
    return fields[0] if fields else "?"


def is_stopped(pid: int | None) -> bool:
    """Tell whether a process was stopped by a signal or a debugger."""
    return process_state(pid) in ("T", "t")
