"""The files a training run keeps besides weights and states, and the folder they are in."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from commands.build.evaluation import SplitEvaluation
from commands.train.run_lock import run_lock
from configs.reading.load import LoadedExperiment
from data.formats.files import write_list
from data.formats.label_report import write_csv
from data.records.load import Split, SplitName, load_split
from utils.checkpoint.state import has_state
from utils.comparison.runs.stored_evaluation import JudgedSplit, write_judged
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.files.atomic import write_text
from utils.runtime.files.run_folder import (
    GRAPH_NAME,
    RunFolder,
    claim_run_folder,
    data_name,
    newest_run,
    run_name,
)
from utils.structures.results import EvalResult

logger = logging.getLogger(__name__)

MOST_KEPT = 500_000
"""Detections of a split that are kept: about 10 MB."""
RECIPES = ("from_scratch", "from_scratch_anchors", "finetune")
"""Shipped experiments that name no data set."""
CUT: tuple[SplitName, ...] = ("val", "test")


def interrupted_run(loaded: LoadedExperiment, ranks: Ranks) -> RunFolder | None:
    """Return the run to resume after torchrun restarted all processes, else None.

    It is the last one of this configuration; before the first checkpoint there is none.
    """
    if ranks.restarts == 0 or not ranks.is_main:
        return None
    folder = newest_run(Path(loaded.experiment.run.folder), _run_name(loaded))
    return folder if folder is not None and has_state(folder.last) else None


def _run_name(loaded: LoadedExperiment) -> str:
    experiment = loaded.experiment
    path = loaded.path
    if path.stem in RECIPES:  # a recipe for any data: the data tell runs apart
        path = Path(f"{data_name(experiment.data.path)}.yaml")
    return experiment.run.name or run_name(
        path, config_hash=loaded.hash, seed=experiment.train.seed
    )


@contextmanager
def own_folder(
    loaded: LoadedExperiment, resume: RunFolder | None, ranks: Ranks
) -> Iterator[RunFolder]:
    """Yield the folder of this process: the run for the first one, else a temporary folder."""
    if ranks.is_main:
        runs = Path(loaded.experiment.run.folder)
        folder = resume or claim_run_folder(runs, _run_name(loaded))
        with run_lock(folder.path):
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="focaldet-process-") as scratch:
        yield RunFolder(Path(scratch))


def write_cut_lists(folder: RunFolder, loaded: LoadedExperiment, splits: Sequence[Split]) -> None:
    """Write the images of each split as a list, where a share or a fold was cut off."""
    data = loaded.experiment.data
    shares = [name for name in CUT if isinstance(getattr(data, name, None), float)]
    shares = shares if data.folds is None else ["val"]
    if not shares:
        return
    loaded_names = [split.name for split in splits]
    others = [load_split(data, name) for name in shares if name not in loaded_names]
    for split in (*splits, *others):
        if split.name == "train" or split.name in shares:
            write_list((record.path for record in split.records), folder.path / split.name)
    logger.info("the images of each split: %s", folder.path / f"{{train,{','.join(shares)}}}.txt")


def report_labels(folder: RunFolder, loaded: LoadedExperiment, splits: Sequence[Split]) -> None:
    """Write the label report, log a summary, raise UserError if too many rows were rejected."""
    reports = [split.report for split in splits]
    write_csv(folder.labels_report, reports)
    for report in reports:
        for line in report.summary(folder.labels_report):
            logger.info("%s", line)
    for report in reports:
        report.require_usable(loaded.experiment.data.max_rejected)


def keep_detections(folder: RunFolder, evaluation: SplitEvaluation, result: EvalResult) -> None:
    """Keep what the best weights detect in the validation split, for `list_runs.py compare`.

    Not where that would take very much room.
    """
    detections = evaluation.evaluator.detections
    if len(detections) > MOST_KEPT:
        return
    split = evaluation.split
    kept = JudgedSplit(
        truths=evaluation.evaluator.truths,
        detections=detections,
        paths=tuple(record.path for record in split.records),
        class_names=split.class_names,
        result=result.to_json(),
    )
    write_judged(folder.path, "best", kept)


def write_configuration(loaded: LoadedExperiment, folder: RunFolder) -> None:
    """Write everything needed to resume: settings and graph."""
    graph = yaml.safe_dump(dict(loaded.graph), sort_keys=False, default_flow_style=None)
    write_text(folder.path / GRAPH_NAME, graph)
    model = loaded.experiment.model.model_copy(
        update={"graph": GRAPH_NAME, "name": loaded.network_name}
    )
    own = replace(loaded, experiment=loaded.experiment.model_copy(update={"model": model}))
    write_text(folder.config, own.to_yaml())
