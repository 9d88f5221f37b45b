"""The verdicts of a comparison as Markdown, for a README."""

from collections.abc import Mapping
from typing import Any


def verdict_table(content: Mapping[str, Any]) -> str:
    """Return one row an arm; `content` is comparison.json."""
    level = f"{100 * content['test']['level']:g} %"
    lines = [
        f"| arm | mAP50-95 | difference | {level} interval | p | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for name, arm in content["arms"].items():
        mean = f"{arm['map50_95']['mean']:.2f}"
        if arm["verdict"] == "baseline":
            lines.append(f"| {name} | {mean} | | | | baseline |")
            continue
        low, high = arm["interval"]
        lines.append(
            f"| {name} | {mean} | {arm['delta']:+.2f} | {low:+.2f} to {high:+.2f} | "
            f"{arm['p']:.3g} | **{arm['verdict']}** |"
        )
    return "\n".join(lines) + "\n"


def verdict_page(title: str, content: Mapping[str, Any], *, has_pictures: bool) -> str:
    """Return the page that stands beside comparison.json and report.html."""
    pictures = "" if has_pictures else " Pictures are left out of this copy."
    seeds = sorted({len(arm["seeds"]) for arm in content["arms"].values()})
    parts = [
        f"# {title}",
        content["verdict"],
        f"{content['setting']}, {content['data']['test_images']} test images, "
        f"{' or '.join(map(str, seeds))} seeds an arm; "
        f"margin {content['test']['margin']:g} points, correction {content['test']['correction']}.",
        verdict_table(content).rstrip(),
        f"Every number and curve: [report.html](report.html), a page without network; "
        f"[comparison.json](comparison.json).{pictures}",
        "What would change this:",
        "\n".join(f"- {line}" for line in (*content["would_change"], *content["cautions"])),
    ]
    return "\n\n".join(parts) + "\n"
