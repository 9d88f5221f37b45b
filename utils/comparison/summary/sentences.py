"""Verdicts in words: on which data and budget they were reached, and what would change them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.schema.comparison import VerdictSettings
from configs.schema.data import settings_of_format
from configs.schema.loss import BRANCHES
from utils.comparison.runs.run_record import RunRecord
from utils.comparison.summary.arm_result import ArmResult
from utils.comparison.summary.focal_grid import tried_gammas

_VERBS = {
    "better": "is better than",
    "worse": "is worse than",
    "equivalent": "is equivalent to",
    "inconclusive": "compared with {baseline} is inconclusive",
}


def verdict_sentence(
    result: ArmResult,
    *,
    baseline: str,
    run: RunRecord,
    test: VerdictSettings,
    images: int,
    pairs: str = "seed",
) -> str:
    """Return the verdict on an arm with all that it depends on.

    Args:
        result: the verdict.
        baseline: name of the arm it is compared with.
        run: any run of the arm.
        test: rule of the verdict.
        images: of the test split, or of all folds.
        pairs: what the runs are paired by, seed or fold.
    """
    main = result.main
    interval = main.deciding(test.interval)
    verb = _VERBS[result.word]
    claim = (
        verb.format(baseline=baseline) if result.word == "inconclusive" else f"{verb} {baseline}"
    )
    return (
        f"{result.name} {claim}: {main.delta:+.2f} points of mAP50-95, {100 * test.level:g} % "
        f"interval {interval.low:+.2f} to {interval.high:+.2f}, p = {result.p_corrected:.3g}, "
        f"margin {test.margin:g}; {setting_text(run)}, "
        f"{images} test images, {len(result.seeds)} {pairs}{'s' if len(result.seeds) != 1 else ''}."
    )


def headline(words: Mapping[str, str], baseline: str) -> str:
    """Return the verdicts in one sentence; `words` by arm."""
    groups = {
        word: [arm for arm, own in words.items() if own == word]
        for word in ("better", "worse", "equivalent", "inconclusive")
    }
    parts = [f"{word}: {', '.join(arms)}" for word, arms in groups.items() if arms]
    return f"Against {baseline}, {'; '.join(parts)}."


def setting_text(run: RunRecord) -> str:
    """Return data set, model, budget and gain mode of an arm."""
    train, model, loss = (run.config[name] for name in ("train", "model", "loss"))
    start = f"from {Path(model['weights']).name}" if model.get("weights") else "from scratch"
    scales = {str((loss.get(name) or {}).get("scale", "as_is")) for name in BRANCHES}
    gains = "matched gains" if "matched" in scales else "gains as they are"
    return (
        f"{data_name(run.config['data'])}, {run.network} {start}, {train['epochs']} epochs at "
        f"{train['image_size']} px, {gains}"
    )


def _gammas(focal_grid: Sequence[Mapping[str, Any]]) -> str:
    tried = tried_gammas(focal_grid)
    return f" (focal losses: gamma {', '.join(f'{gamma:g}' for gamma in tried)})" if tried else ""


def data_name(data: Mapping[str, Any]) -> str:
    """Return the name of the data set for a person: the last folders of its path."""
    num_folders = settings_of_format(data["format"]).num_name_folders
    return "/".join(Path(str(data["path"])).parts[-num_folders:])


def would_change(result: ArmResult, *, baseline: str, test: VerdictSettings) -> list[str]:
    """Return sentences on what would change the verdict, or what it does not cover."""
    need, size = result.needed, abs(result.main.delta)
    lines = []
    if result.word == "inconclusive":
        lines += _undecided(result, test)
    elif result.word == "equivalent" and not _outermost(result):
        lines.append(f"{result.name}: every run gave the very results of {baseline}.")
    elif result.word == "equivalent":
        lines.append(
            f"{result.name}: a margin below {_outermost(result):.2f} points would make this "
            "inconclusive."
        )
    else:
        lines.append(
            f"{result.name}: the difference of {size:.2f} points exceeds the margin of "
            f"{test.margin:g}."
            if size >= test.margin
            else f"{result.name}: real, but at {size:.2f} points below the margin of "
            f"{test.margin:g}: too small to matter by the rule set beforehand."
        )
    if need.images_factor is not None and need.images_factor > 1 and result.word == "inconclusive":
        lines.append(
            f"{result.name}: about {need.images_factor:.1f} times as many test images would decide "
            "it with these seeds, if the noise stays as it was."
        )
    return lines


def _undecided(result: ArmResult, test: VerdictSettings) -> list[str]:
    have, need = len(result.seeds), result.needed
    if result.bar:
        return [f"{result.name}: {result.bar}."]
    lines = []
    for what, seeds in (
        ("to show the difference", need.seeds_for_difference),
        (f"to show equivalence within {test.margin:g}", need.seeds_for_equivalence),
    ):
        if seeds is not None and seeds > have:
            more = "1 more seed is" if seeds - have == 1 else f"{seeds - have} more seeds are"
            lines.append(f"{result.name}: about {more} needed {what}.")
    if not lines:
        lines.append(
            f"{result.name}: no reasonable number of seeds decides this on so few test images; "
            "the noise of the images is too large."
        )
    return lines


def _outermost(result: ArmResult) -> float:
    return max(abs(result.main.narrow.low), abs(result.main.narrow.high))


def caveats(
    config: Mapping[str, Any],
    focal_grid: Sequence[Mapping[str, Any]],
    failures: Sequence[str],
    *,
    folds: int | None = None,
) -> list[str]:
    """Return the limits of any verdict of one comparison."""
    lines = [
        f"One data set ({data_name(config['data'])}), one model and one budget: elsewhere the "
        "answer may differ.",
        f"Only the settings stated in the arms were tried{_gammas(focal_grid)}; other values of "
        "theirs were not.",
    ]
    if folds is not None:
        lines.append(
            f"The {folds} folds share training images, so their differences depend on each other "
            "and no estimate of the variance of their mean is unbiased (Bengio and Grandvalet "
            "2004): the interval is optimistic."
        )
    if failures:
        lines.append(f"Runs that failed and are left out: {', '.join(failures)}.")
    return lines
