"""A training run: assembles data, network, loss and trainer, and writes the results."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from commands.build.batch_size import choose_batch_size
from commands.build.criterion import build_training_criterion
from commands.build.derived_recipe import derive_recipe
from commands.build.detector import load_detector
from commands.build.evaluation import SplitEvaluation, build_evaluation
from commands.build.training_start import (
    TrainingStart,
    build_training_detector,
    weights_metadata,
    write_weights_report,
)
from commands.train.banner import banner, expected_time
from commands.train.data_witness import require_same_data, write_data
from commands.train.hooks import budget_log, training_hooks
from commands.train.pairing import PAIRING_NAME, PairingHashes
from commands.train.precision import settle_precision
from commands.train.report import ReportPage, say_result
from commands.train.run_files import (
    keep_detections,
    own_folder,
    report_labels,
    write_configuration,
    write_cut_lists,
)
from commands.train.threads import settle_threads, thread_watch
from commands.train.user_hooks import user_hooks
from configs.checks.resume_changes import Change, gives_other_batches
from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from configs.schema.train import TrainSettings
from data.doctor.examine import worst_lines
from data.images.cache import ImageCache
from data.loading.device_rendering import require_usable_ops
from data.loading.loader import build_train_batches, open_training_cache
from data.records.load import Split, load_split
from models.blocks.joint_norm import join_norms
from models.detector import Detector
from models.losses import DetectionCriterion
from utils.checkpoint.state import has_state
from utils.engine.compiled import Compiler, choose_compiler
from utils.engine.hook import Hook
from utils.engine.learner import Learner
from utils.engine.run import TrainingSummary
from utils.engine.trainer import Trainer
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.environment import write_environment
from utils.runtime.machine.thread_trials import FixedThreads, ThreadTrials, thread_choices
from utils.runtime.machine.threads import available_cores
from utils.runtime.seeding import seed_process, set_deterministic
from utils.structures.results import EvalResult, results_json

logger = logging.getLogger(__name__)


def train(
    loaded: LoadedExperiment,
    *,
    resume: RunFolder | None = None,
    changes: Sequence[Change] = (),
    ranks: Ranks = ALONE,
    hooks: Sequence[Hook] = (),
    accept_data: bool = False,
) -> RunFolder:
    """Train the experiment `loaded`, or resume the folder `resume`; return the run's folder.

    `changes` are settings that change on resume; `accept_data` lets it continue with other data.
    Each of `ranks` has to call it; all but the first write to a temporary folder. `hooks` are
    called after those of the setting `hooks`.

    Raises:
        UserError, ConfigError: something the user can fix; nothing of an earlier run is lost.
        TrainingStopped: asked to stop; the state is saved.
    """
    settings = loaded.experiment.train
    _require_joinable(settings, ranks)
    own_hooks = (*user_hooks(loaded.experiment.hooks, is_main=ranks.is_main), *hooks)
    device = choose_device(settings.device, ranks.local_rank)
    require_usable_ops(loaded.experiment.augment, device)
    set_deterministic(settings.deterministic)
    with ranks.main_first("reading labels"):
        splits = _load_splits(loaded)
    loaded = settle_threads(loaded, device, ranks)
    loaded = settle_precision(loaded, device, ranks)
    loaded = choose_batch_size(loaded, splits[0], device, ranks)
    loaded = derive_recipe(loaded, splits[0], processes=ranks.size)
    settings = loaded.experiment.train
    compiler = choose_compiler(settings, device, ranks, num_images=len(splits[0].records))
    with own_folder(loaded, resume, ranks) as folder:
        own = [split for split in splits if split]
        if resume is not None and ranks.is_main:
            require_same_data(resume, own, accepted=accept_data)
        report_labels(folder, loaded, own)
        if ranks.is_main:
            write_cut_lists(folder, loaded, own)
            for line in worst_lines(own, image_size=settings.image_size):
                logger.info("%s", line)
        seed_process(settings.seed)
        with _emptied_where_nothing_began(folder, is_new=resume is None):
            training = _Training(
                loaded, splits, folder, ranks, device, own_hooks, is_resumed=resume is not None
            )
        if compiler is not None:
            training.compile(compiler)
        if resume is not None:
            training.go_on(resume, changes)
        training.run()
        return folder


@contextmanager
def _emptied_where_nothing_began(folder: RunFolder, *, is_new: bool) -> Iterator[None]:
    """Remove the folder of a run whose network could not be built."""
    try:
        yield
    except (UserError, ConfigError):
        if is_new and not folder.config.exists():
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


class _Training:
    """The parts of one training, put together."""

    def __init__(
        self,
        loaded: LoadedExperiment,
        splits: tuple[Split, Split | None],
        folder: RunFolder,
        ranks: Ranks,
        device: torch.device,
        own_hooks: Sequence[Hook],
        *,
        is_resumed: bool,
    ) -> None:
        self._folder, self._ranks, self._device = folder, ranks, device
        self._own_hooks = own_hooks
        settings, (split, val_split) = loaded.experiment.train, splits
        is_begun = ranks.from_main(has_state(folder.last))
        start = build_training_detector(loaded, split, resumed=is_begun)
        self._loaded, detector = start.loaded, start.detector
        if ranks.size > 1 and settings.sync_batchnorm:
            join_norms(detector)
        if not is_resumed:
            write_configuration(start.loaded, folder)
            write_environment(folder.environment)
            write_data(folder, [each for each in splits if each])
        if start.transfer is not None:
            write_weights_report(folder.weights_report, start.transfer)
        stride = detector.size_multiple
        val_records = val_split.records if val_split else ()
        with ranks.main_first("filling the cache of images"):
            cache = open_training_cache(settings, split.records, val_records, stride=stride)
        self._batches = build_train_batches(
            split.records,
            start.loaded.experiment,
            stride=stride,
            device=device,
            cache=cache,
            ranks=ranks,
        )
        criterion = build_training_criterion(
            start.loaded, detector, split, folder, device=device, cache=cache, ranks=ranks
        )
        self._evaluation = self._build_evaluation(detector, val_split, cache, criterion)
        self._page = ReportPage(start.loaded, folder, [each for each in splits if each])
        self._pairing = PairingHashes(
            source=self._batches,
            path=folder.path / PAIRING_NAME,
            total=settings.epochs * len(self._batches),
        )
        self._say_banner(start, images=(len(split.records), len(val_records)))
        # Of several processes none may compute alone: losses are divided by sums over all of them.
        if ranks.size == 1 and not is_begun:
            self._say_expected_time(split)
        self._trainer = self._build_trainer(start, split, criterion)
        if not is_begun:
            self._pairing.write_weights(detector)

    def _build_evaluation(
        self,
        detector: Detector,
        split: Split | None,
        cache: ImageCache | None,
        criterion: DetectionCriterion,
    ) -> SplitEvaluation | None:
        if split is None:
            return None
        return build_evaluation(
            detector,
            split,
            self._loaded.experiment,
            device=self._device,
            cache=cache,
            ranks=self._ranks,
            criterion=criterion,
        )

    def _say_banner(self, start: TrainingStart, *, images: tuple[int, int]) -> None:
        lines = banner(
            start.detector,
            start.loaded.experiment.train,
            self._device,
            self._ranks,
            network=start.loaded.network_name,
            images=images,
        )
        for line in lines:
            logger.info("%s", line)

    def _say_expected_time(self, split: Split) -> None:
        """Say how long the training takes where its length is ours; the console says it after the
        first batches of every training.
        """
        if "train.epochs" not in self._loaded.words:
            return
        text = expected_time(
            self._loaded, split, self._device, batches_per_epoch=len(self._batches)
        )
        if text is not None:
            logger.info("%s", text)

    def _build_trainer(
        self, start: TrainingStart, split: Split, criterion: DetectionCriterion
    ) -> Trainer:
        experiment, batches = start.loaded.experiment, len(self._batches)
        at_start = experiment.eval.before_training
        # Every process measures: the criterion counts matches over all of them. One writes.
        budget = budget_log(experiment, criterion, self._folder, batches=batches)
        learner = Learner(
            start.detector,
            criterion,
            experiment.train,
            batches_per_epoch=batches,
            device=self._device,
            rules=start.rules,
            observe=None if budget is None else budget.observe,
            ranks=self._ranks,
        )
        return Trainer(
            learner=learner,
            batches=self._batches,
            observe=self._pairing.see,
            evaluate=self._evaluation,
            folder=self._folder,
            hooks=training_hooks(
                experiment,
                self._folder,
                metadata=weights_metadata(start.loaded, start.detector, split),
                budget=budget,
                own=self._own_hooks,
                page=self._page,
                watch=thread_watch(start.loaded, self._ranks),
            ),
            eval_interval=experiment.eval.interval,
            evaluates_start=start.shares_classes if at_start == "auto" else at_start,
            ranks=self._ranks,
            threads=_threads(experiment.train, self._device, self._ranks),
            evidence=self._evaluation,
            finish=self._write_results,
        )

    def compile(self, compiler: Compiler) -> None:
        """Use compiled training steps."""
        self._trainer.learner.compile(compiler)

    def go_on(self, source: RunFolder, changes: Sequence[Change]) -> None:
        """Resume from the checkpoint in `source`, and store changed settings."""
        if has_state(source.last):
            self._trainer.resume(source, other_batches=gives_other_batches(changes))
        else:
            logger.info("no checkpoint was written yet: starting from the beginning")
        for change in changes:
            logger.info("changed on resume: %s", change)
        if changes:
            write_configuration(self._loaded, self._folder)

    def run(self) -> None:
        """Train to the end and write the results."""
        logger.info("Saving results to %s", self._folder.path)
        try:
            # Workers forked before the first step do not keep memory that the step used.
            self._batches.start()
            if self._evaluation is not None:
                self._evaluation.start()
            self._trainer.run()
        finally:
            self._batches.close()
            if self._evaluation is not None:
                self._evaluation.close()

    def _write_results(self, summary: TrainingSummary) -> None:
        """Evaluate the saved weights once more, as val.py will, and write what they are worth."""
        if self._ranks.is_main:
            self._pairing.finish()
        if self._evaluation is None:
            logger.info(
                "no validation split: weights of the last epoch are in %s", self._folder.best
            )
            if self._ranks.is_main:
                self._page.finish(summary, self._batches, None, None)
            return
        best = load_detector(self._ranks.from_main(self._folder.best))
        result = self._evaluation(best.detector.to(self._device))
        if not self._ranks.is_main:
            return
        _require_same_numbers(result, summary)
        content = results_json(
            result,
            epochs=summary.epochs,
            images_per_second=summary.images_per_second,
            config_hash=self._loaded.hash,
        )
        own = {"best_epoch": summary.best_epoch, "batches_left_out": summary.batches_left_out}
        write_json(self._folder.results, {**content, **own})
        keep_detections(self._folder, self._evaluation, result)
        self._page.finish(summary, self._batches, self._evaluation, result)
        say_result(self._folder, self._loaded, summary, result)


def _load_splits(loaded: LoadedExperiment) -> tuple[Split, Split | None]:
    data = loaded.experiment.data
    train_split = load_split(data, "train")
    if _num_objects(train_split) == 0:
        raise UserError(
            f"train: not one object in {len(train_split.records)} images; "
            "there is nothing to learn from"
        )
    has_validation = data.format == "synthetic" or data.val is not None
    val_split = load_split(data, "val") if has_validation else None
    if val_split is not None and _num_objects(val_split) == 0:
        logger.warning(
            "val: not one object in %d images, so AP is undefined: the weights of the last epoch "
            "are kept, and train.patience has no effect",
            len(val_split.records),
        )
    return train_split, val_split


def _num_objects(split: Split) -> int:
    return sum(int((~record.ignore).sum()) for record in split.records)


def _require_same_numbers(result: EvalResult, summary: TrainingSummary) -> None:
    """The saved weights must reach exactly the AP measured in training."""
    said = (summary.best_result or {}).get("map50_95")
    if said is not None and abs(said - result.map50_95) > 1e-3:
        raise UserError(
            f"the saved weights reach mAP50-95 {result.map50_95:.5f}, training measured "
            f"{said:.5f}; the data or the file changed in between, run val.py again"
        )


def _require_joinable(settings: TrainSettings, ranks: Ranks) -> None:
    if ranks.size > 1 and settings.oom == "halve":
        raise UserError(
            "train.oom=halve works in one process only: several could halve at different times and "
            "wait for each other for ever; lower train.batch_size instead"
        )


def _threads(settings: TrainSettings, device: torch.device, ranks: Ranks) -> FixedThreads:
    """Return the trials that choose the number of compute threads."""
    if settings.threads != "adaptive" or device.type != "cpu":
        return FixedThreads()
    cores = available_cores() // ranks.local_size
    return ThreadTrials(thread_choices(cores), torch.set_num_threads)
