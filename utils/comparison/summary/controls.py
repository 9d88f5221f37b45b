"""Validity checks of a comparison, run by run."""

from collections.abc import Iterator, Mapping
from typing import Any

from utils.comparison.runs.run_record import RunRecord

Runs = Mapping[str, Mapping[int, RunRecord]]
"""Arm -> seed -> run."""
MOST_AT_CAP = 0.01
"""Share of images at a limit on detections above which the limit may affect the comparison."""
_CAPS = {"detection": "eval.max_detections", "candidate": "eval.max_candidates"}
_SAME = {"commit": "commits", "torch": "versions of torch", "device": "devices"}


def controls(runs: Runs) -> list[dict[str, Any]]:
    """Return one row a run: multipliers, hashes, limits that were reached, environment."""
    return [
        {"arm": arm, "seed": seed, **_row(run)}
        for arm, by_seed in runs.items()
        for seed, run in by_seed.items()
    ]


def cautions(runs: Runs) -> list[str]:
    """Return warnings that a reader should know before trusting a verdict."""
    return [*_caps(runs), *_left_out(runs), *_mixed(runs)]


def data_facts(run: RunRecord) -> dict[str, Any]:
    """Return what all runs of a comparison share: classes, numbers of images, fingerprints."""
    return {
        "classes": list(run.test.class_names),
        "test_images": run.test.truths.num_images,
        "test_objects": int((~run.test.truths.ignore).sum()),
        "val_images": run.val.truths.num_images,
        **run.facts,
    }


def _row(run: RunRecord) -> dict[str, Any]:
    counts = run.test.result["counts"]
    return {
        "config_hash": run.results.get("config_hash"),
        "weights": str(run.pairing.get("weights"))[:12],
        "batches": str(run.pairing.get("batches"))[:12],
        "scale": {
            branch: round(float(match["after_warmup"]), 4) for branch, match in run.scale.items()
        },
        "scale_at_start": {
            branch: round(float(match["at_start"]), 4)
            for branch, match in run.scale.items()
            if "at_start" in match
        },
        "epochs": len(run.history),
        "batches_left_out": run.results.get("batches_left_out"),
        "detection_cap": counts["images_at_detection_cap"],
        "candidate_cap": counts["images_at_candidate_cap"],
        "commit": run.environment.get("git"),
        "torch": (run.environment.get("packages") or {}).get("torch"),
        "device": (run.environment.get("gpus") or [run.environment.get("cpu")])[0],
    }


def _caps(runs: Runs) -> Iterator[str]:
    for what, setting in _CAPS.items():
        shares = {arm: _share_at_cap(by_seed, what) for arm, by_seed in runs.items() if by_seed}
        reached = {arm: share for arm, share in shares.items() if share > MOST_AT_CAP}
        if reached:
            listed = ", ".join(f"{arm} {share:.0%}" for arm, share in reached.items())
            yield (
                f"{setting} was reached on more than {MOST_AT_CAP:.0%} of the test images "
                f"({listed}): detections were cut off, the worst first; raise it for all arms to "
                "see whether that matters."
            )


def _share_at_cap(by_seed: Mapping[int, RunRecord], what: str) -> float:
    counts = [run.test.result["counts"] for run in by_seed.values()]
    images = sum(one["images"] for one in counts)
    return float(sum(one[f"images_at_{what}_cap"] for one in counts) / max(images, 1))


def _left_out(runs: Runs) -> Iterator[str]:
    for arm, by_seed in runs.items():
        total = sum(run.results.get("batches_left_out") or 0 for run in by_seed.values())
        if total:
            yield f"{arm}: {total} training batches were left out, their loss was not finite."


def _mixed(runs: Runs) -> Iterator[str]:
    rows = controls(runs)
    for key, what in _SAME.items():
        found = dict.fromkeys(str(row[key])[:20] for row in rows if row[key])
        if len(found) > 1:
            yield f"The runs come from different {what}: {', '.join(found)}."
