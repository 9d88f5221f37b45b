"""What all benchmarks share: alternating repetitions, medians, the table and the JSON file."""

import contextlib
import ctypes
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "numpy", "opencv-python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of a result; `ours`, `peer` and `limit` have one unit, which the name tells."""

    name: str
    ours: float
    peer: float | None = None
    ratio: float | None = None
    """How many times better we are; above 1 is better."""
    goal: float | None = None
    """The ratio that is wanted."""
    limit: float | None = None
    """What the machine would allow, in the unit of `ours`."""


def compared(
    name: str, ours: float, peer: float | None, *, goal: float | None, limit: float | None
) -> Figure:
    """Return a figure of which less is better."""
    ratio = peer / ours if peer is not None and ours else None
    return Figure(name=name, ours=ours, peer=peer, ratio=ratio, goal=goal, limit=limit)


def alternate(sides: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, float]:
    """Return the median of what each side returns, run in turn so that all see the same machine."""
    results: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, run in sides.items():
            results[name].append(run())
    return {name: statistics.median(values) for name, values in results.items()}


def milliseconds(run: Callable[[], object], count: int) -> float:
    """Return the mean CPU time of `run` in this process over `count` calls, ms.

    Unlike the time on the clock it hardly grows while other processes share the core.
    """
    start = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - start) / count * 1e3


def clock_milliseconds(run: Callable[[], object], count: int) -> float:
    """Return the mean time on the clock of `run` over `count` calls, ms."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count * 1e3


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process, MiB."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1 << (20 if sys.platform == "darwin" else 10))


def added_mib(run: Callable[[], object]) -> float:
    """Return by how much `run` raises the memory of this process at most, MiB.

    Linux forgets the peak before if asked to; elsewhere only what exceeds it is seen.
    """
    clear = Path("/proc/self/clear_refs")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what freed memory hides would not be seen
        clear.write_text("5", encoding="ascii")
    before = _high_water_mib()
    run()
    return _high_water_mib() - before


def _high_water_mib() -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return peak_memory_mib()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def describe_machine() -> list[str]:
    """Return lines that say on what a figure was measured."""
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"CPU {_cpu_model()}; {platform.platform()}",
        f"Python {sys.version.split()[0]}, {packages}",
    ]


def format_figures(figures: Sequence[Figure]) -> str:
    """Return a Markdown table."""
    lines = ["| name | ours | peer | ratio | goal | limit |", "|---|---|---|---|---|---|"]
    for figure in figures:
        values = (figure.ours, figure.peer, figure.ratio, figure.goal, figure.limit)
        cells = ("-" if value is None else f"{value:.2f}" for value in values)
        lines.append(f"| {figure.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(figures: Sequence[Figure], json_file: Path | None) -> None:
    """Print machine, table and memory; write the figures where the user wants them."""
    print("\n".join(describe_machine()))
    print(format_figures(figures))
    print(f"peak memory of this process: {peak_memory_mib():.0f} MiB")
    if json_file is not None:
        text = json.dumps([asdict(figure) for figure in figures], indent=2)
        json_file.write_text(text + "\n", encoding="utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
