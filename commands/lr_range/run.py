"""The learning-rate range test of an experiment: run it, write the curve, say what it found."""

import csv
import io
import logging
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from commands.build.batch_size import choose_batch_size
from commands.build.criterion import build_training_criterion
from commands.build.derived_recipe import derive_recipe
from commands.build.training_start import build_training_detector
from configs.reading.load import LoadedExperiment
from data.loading.loader import TrainBatches, build_train_batches, open_training_cache
from data.records.load import Split, load_split
from utils.engine.learner import Learner, too_little_memory
from utils.engine.optimization.lr_range import LrCurve, sweep
from utils.report.charts.axes import padded, tick_text
from utils.report.charts.plot_area import PlotArea, css, legend_of_series
from utils.report.charts.svg_file import svg_file
from utils.report.pages.lr_range_page import LrRangePage, lr_range_text
from utils.runtime.distributed.ranks import ALONE
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write, write_text
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.memory import is_out_of_memory
from utils.runtime.machine.threads import set_threads
from utils.runtime.progress import progress_bar
from utils.runtime.seeding import seed_process, set_deterministic

logger = logging.getLogger(__name__)

FOLDER_NAME = "lr_range"
AROUND = 100.0
"""The default range goes from the present rate divided by this to it times this."""
FEWEST_STEPS, MOST_STEPS = 80, 300
"""Optimizer steps of a test; between them, those of an epoch."""
SHOWN_POINTS = 25
"""About as many points of the curve are a table on the page."""
_KEY = "train.optimizer.lr"


def lr_range(loaded: LoadedExperiment, ends: Sequence[float] | None = None) -> str:
    """Try rising learning rates on `loaded`, write the curve, return the result in words.

    Page, CSV and SVG are in `lr_range` below `run.folder`, named after the run; those of an earlier
    test of that name are replaced. No run begins, and none is changed.

    Args:
        loaded: the experiment.
        ends: lowest and highest rate; None for those around the present one.

    Raises:
        UserError, ConfigError: something the user can fix.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("--lr-range works in one process; start it without torchrun")
    split = load_split(loaded.experiment.data, "train")
    if not any(len(record.boxes) for record in split.records):
        raise UserError(f"train: not one object in {len(split.records)} images")
    present, curve = _measured(loaded, split, ends)
    if not len(curve.lrs):
        raise UserError(f"the loss is not finite at the first learning rate, {curve.diverged_at:g}")
    experiment = loaded.experiment
    name = experiment.run.name or loaded.path.stem
    place = Path(experiment.run.folder) / FOLDER_NAME
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(place, error) from error
    write_text(place / f"{name}.csv", curve_csv(curve))
    write_text(place / f"{name}.svg", curve_svg(curve))
    said = sentences(curve, present)
    page = place / f"{name}.html"
    write_text(page, curve_page(curve, said, name))
    return "\n".join(
        [*said, f"curve: {place / name}.csv, {name}.svg", f"page: {page.resolve().as_uri()}"]
    )


def _measured(
    loaded: LoadedExperiment, split: Split, ends: Sequence[float] | None
) -> tuple[float, LrCurve]:
    """Return the learning rate that the experiment has now, and the curve."""
    device = choose_device(loaded.experiment.train.device)
    set_threads(loaded.experiment.train.threads)
    set_deterministic(loaded.experiment.train.deterministic)
    loaded = choose_batch_size(loaded, split, device, ALONE)
    loaded = derive_recipe(loaded, split)
    settings = loaded.experiment.train
    seed_process(settings.seed)
    start = build_training_detector(loaded, split)
    stride = start.detector.size_multiple
    cache = open_training_cache(settings, split.records, (), stride=stride)
    batches = build_train_batches(
        split.records, start.loaded.experiment, stride=stride, device=device, cache=cache
    )
    with tempfile.TemporaryDirectory(prefix="focaldet-lr-range-") as scratch:
        criterion = build_training_criterion(
            start.loaded,
            start.detector,
            split,
            RunFolder(Path(scratch)),
            device=device,
            cache=cache,
        )
    learner = Learner(
        start.detector,
        criterion,
        settings.model_copy(update={"non_finite": "stop"}),
        batches_per_epoch=len(batches),
        device=device,
        rules=start.rules,
    )
    present = settings.optimizer.lr
    low, high = ends or (present / AROUND, present * AROUND)
    try:
        return present, _swept(learner, batches, low, high)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise too_little_memory(device, settings) from error
    finally:
        batches.close()


def _swept(learner: Learner, batches: TrainBatches, low: float, high: float) -> LrCurve:
    settings = learner.settings
    accumulate = max(round(settings.nominal_batch / settings.batch_size), 1)
    steps = min(max(len(batches) // accumulate, FEWEST_STEPS), MOST_STEPS)
    logger.info(
        "learning rates %.3g to %.3g in %d steps of %d images: %.3g epochs",
        low,
        high,
        steps,
        accumulate * settings.batch_size,
        steps * accumulate / len(batches),
    )
    with progress_bar("learning rates", total=steps * accumulate) as bar:

        def show(lr: float, loss: float) -> None:
            bar.set_postfix_str(f"lr {lr:.2g} loss {loss:.4g}", refresh=False)
            bar.update()

        return sweep(learner, batches, low=low, high=high, steps=steps, seen=show)


def sentences(curve: LrCurve, present: float) -> list[str]:
    """Return what the curve says; the last line is a setting to type, or why there is none."""
    smooth = curve.smoothed
    lowest = int(np.argmin(smooth))
    end = f"the loss diverges at {curve.diverged_at:.2g}" if curve.diverged_at else "no divergence"
    course = (
        f"loss {smooth[0]:.4g} at {curve.lrs[0]:.2g}, lowest {smooth[lowest]:.4g} at "
        f"{curve.lrs[lowest]:.2g}; {end}"
    )
    if curve.suggestion is None:
        low, high = curve.lrs[0], curve.lrs[-1]
        low, high = (low / AROUND, low) if curve.diverged_at else (high, high * AROUND)
        return [
            course,
            f"the loss does not fall in this range; try --lr-range {low:.2g} {high:.2g}",
        ]
    lines = [course]
    if curve.is_cut_off:
        lines.append(f"it still falls at {curve.lrs[-1]:.2g}: a range that ends higher says more")
    return [*lines, f"it falls fastest at {_KEY}={curve.suggestion:.2g} (now {present:.3g})"]


def curve_csv(curve: LrCurve) -> str:
    """Return the curve as CSV: lr, loss, smoothed."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["lr", "loss", "smoothed"])
    for row in zip(curve.lrs, curve.losses, curve.smoothed, strict=True):
        writer.writerow([f"{value:.6g}" for value in row])
    return file.getvalue()


def curve_svg(curve: LrCurve) -> str:
    """Return the curve as an SVG file, with a rule at the suggested rate."""
    title = "Learning-rate range test"
    if curve.suggestion is not None:
        title += f": falls fastest at {curve.suggestion:.2g}"
    return svg_file(title, [_curve_area(curve)])


def curve_page(curve: LrCurve, said: Sequence[str], name: str) -> str:
    """Return the page of a curve, `said` being what it says; files beside it are called `name`."""
    every = max(len(curve.lrs) // SHOWN_POINTS, 1)
    points = list(zip(curve.lrs, curve.losses, curve.smoothed, strict=True))[::every]
    suggestion = curve.suggestion
    return lr_range_text(
        LrRangePage(
            title=f"{name}: learning-rate range test",
            sentences=said,
            chart=_curve_area(curve).figure(),
            points=[(float(lr), float(loss), float(smooth)) for lr, loss, smooth in points],
            files=[(f"{name}.csv", "every step"), (f"{name}.svg", "the curve as a picture")],
            command="" if suggestion is None else f"train.py ... {_KEY}={suggestion:.2g}",
        )
    )


def _curve_area(curve: LrCurve) -> PlotArea:
    smooth = curve.smoothed
    powers = [math.log10(lr) for lr in curve.lrs]
    least, most = min(powers), max(powers)
    # What lies above the start says only that it diverged.
    shown = [loss for loss in curve.losses if loss <= 1.2 * smooth.max()]
    area = PlotArea(
        title="Loss by learning rate",
        description=f"from {smooth[0]:.4g} down to {smooth.min():.4g}",
        x_range=(least, most) if least < most else (least - 0.5, most + 0.5),
        y_range=padded(min(shown), max(shown), 0.05),
        x_label="learning rate",
        is_x_numeric=False,
        legend=legend_of_series(["each step", "smoothed"]),
    )
    top = area.y_range[1]
    for number, line in enumerate((curve.losses, smooth)):
        values = [float(loss) if loss <= top else math.nan for loss in line]
        area.line(powers, values, css(number), style="faint" if number == 0 else "")
    for power in range(math.ceil(least), math.floor(most) + 1):
        area.x_name(power, tick_text(10.0**power))
    if curve.suggestion is not None:
        area.upright(math.log10(curve.suggestion))
    return area
