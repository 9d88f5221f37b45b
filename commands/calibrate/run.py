"""What calibrate.py does: a score map fitted on a split, in a copy of the weights."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from commands.build.detector import LoadedDetector
from commands.build.evaluation import evaluate_once
from commands.calibrate.cli import CalibrateCommand
from commands.val.cli import ValCommand
from commands.val.run import load_for_evaluation
from data.records.load import Split
from models.detector import Detector
from models.weights.checkpoint import METADATA_KEY, checkpoint_metadata
from utils.checkpoint.weights import save_weights
from utils.comparison.summary.run_numbers import focal_of
from utils.metrics.analysis import SCORE_FLOOR
from utils.metrics.calibration import calibration
from utils.metrics.coco_ap import JUDGES
from utils.metrics.recalibration import fit_rising, tabulate_undo_focal
from utils.metrics.rows import SCORE_DECIMALS, DetectionRows, TruthRows
from utils.metrics.scored import ScoredDetections, scored_detections
from utils.runtime.errors import UserError
from utils.runtime.machine.environment import describe_program
from utils.structures.score_calibrator import ScoreCalibrator

FEWEST = 100
"""Minimum number of detections for a fit."""
_OWN_KEYS = frozenset(
    {"format_version", "graph", "class_names", "anchors", "strides", "image_size", METADATA_KEY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """Result; errors are D-ECE of detections from score 0.05 on, None without any."""

    method: str
    detections: int
    error_before: float | None
    error_after: float | None
    """Of images not used in the fit: two-fold cross-validation."""
    ap_before: float
    ap_after: float

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        yield (
            f"{self.method} map fitted on {self.detections} detections; calibration error (D-ECE) "
            f"{_shown(self.error_before)} before, {_shown(self.error_after)} after"
            + (", on images left out of the fit" if self.method == "isotonic" else "")
        )
        yield f"AP50-95 {self.ap_before:.5f} before, {self.ap_after:.5f} after: the order stays"


def calibrate(command: CalibrateCommand) -> Calibrated:
    """Write weights with a score map to a new file.

    Raises:
        UserError, ConfigError: weights or data cannot be used, there are too few detections to fit,
        the new file exists or cannot be written.
    """
    if command.out.suffix != ".safetensors":
        raise UserError(f"--out {command.out}: the name must end in .safetensors")
    if command.out.exists():
        raise UserError(f"{command.out} exists and is not overwritten; set another with --out")
    loaded, experiment, split = load_for_evaluation(
        ValCommand(
            weights=command.weights,
            data=command.data,
            split=command.split,
            json=None,
            save_detections=None,
            overrides=command.overrides,
        )
    )
    detector = loaded.own_detector(command.weights)
    detector.score_calibrator = None  # of an earlier calibration: a map is fitted to raw scores
    _, evaluator = evaluate_once(detector, split, experiment)
    truths, detections = evaluator.truths, evaluator.detections
    found = scored_detections(truths, detections)
    fitted, after = _fit(command, loaded, found)
    _save(command, loaded, detector, split, fitted)
    return Calibrated(
        method=command.method,
        detections=len(found.scores),
        error_before=calibration(found, found.scores, floor=SCORE_FLOOR).d_ece,
        error_after=after,
        ap_before=_ap(truths, detections),
        ap_after=_ap(truths, replace(detections, scores=_mapped(fitted, detections))),
    )


def _fit(
    command: CalibrateCommand, loaded: LoadedDetector, found: ScoredDetections
) -> tuple[ScoreCalibrator, float | None]:
    """Return the map, and the calibration error with it."""
    if command.method == "focal":
        focal = focal_of(loaded.metadata["config"]) if "config" in loaded.metadata else None
        if focal is None:
            raise UserError(
                f"--method focal: {command.weights} was not trained with focal loss; "
                "take --method isotonic"
            )
        fitted = tabulate_undo_focal(gamma=focal[0], alpha=focal[1])
        return fitted, calibration(found, fitted(found.scores), floor=SCORE_FLOOR).d_ece
    if len(found.scores) < FEWEST or not found.right.any():
        raise UserError(
            f"split {command.split} gives {len(found.scores)} detections, "
            f"{int(found.right.sum())} of them right; a fit needs {FEWEST} and some right ones"
        )
    return fit_rising(found.scores, found.right), held_out_error(found)


def held_out_error(found: ScoredDetections) -> float | None:
    """Return the D-ECE of maps fitted on one half of the images and applied to the other."""
    scores = np.zeros(len(found.scores))
    for half in (0, 1):
        mine = found.image % 2 == half
        scores[mine] = fit_rising(found.scores[~mine], found.right[~mine])(found.scores[mine])
    return calibration(found, scores, floor=SCORE_FLOOR).d_ece


def _mapped(fitted: ScoreCalibrator, detections: DetectionRows) -> Any:
    return np.round(fitted(detections.scores).astype(np.float32).astype(float), SCORE_DECIMALS)


def _ap(truths: TruthRows, detections: DetectionRows) -> float:
    return float(max(0.0, JUDGES["hotcoco"](truths, detections).stats[0]))


def _save(
    command: CalibrateCommand,
    loaded: LoadedDetector,
    detector: Detector,
    split: Split,
    calibrator: ScoreCalibrator,
) -> None:
    kept = {key: value for key, value in loaded.metadata.items() if key not in _OWN_KEYS}
    stored = {
        "method": command.method,
        "knots": list(calibrator.knots),
        "values": list(calibrator.values),
        "split": split.name,
        "data_fingerprint": split.fingerprint,
    }
    metadata = checkpoint_metadata(
        detector,
        loaded.class_names,
        loaded.image_size,
        {**describe_program(), **kept, METADATA_KEY: stored},
    )
    save_weights(command.out, detector.state_dict(), metadata)


def _shown(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.4f}"
