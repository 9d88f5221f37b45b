"""`evaluate`: batches through a toy detector, judged in the frame of the original images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from utils.engine.evaluation import evaluate
from utils.metrics.evaluator import DetectionEvaluator
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta, Record
from utils.structures.results import Detections, EvalResult

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Output:
    detections: list[Detections]
    at_candidate_cap: list[bool]
    at_detection_cap: list[bool]


RECORDS = [
    Record(
        path=f"{image_id}.jpg",
        image_id=image_id,
        size=(100, 200),
        boxes=np.array([[20, 10, 90 + image_id, 60]], np.float32),
        labels=np.zeros(1, np.int64),
        ignore=np.zeros(1, np.bool_),
        area=np.array([4000], np.float32),
    )
    for image_id in range(5)
]


def meta_of(one: Record) -> ImageMeta:
    """Halved and padded below and above by 7."""
    return ImageMeta(
        path=one.path, image_id=one.image_id, original_size=one.size, scale=(0.5, 0.5), pad=(7, 0)
    )


def batches(batch_size: int) -> list[Batch]:
    made = []
    for start in range(0, len(RECORDS), batch_size):
        metas = tuple(meta_of(one) for one in RECORDS[start : start + batch_size])
        none = torch.zeros(0, dtype=torch.int64)
        made.append(
            Batch(
                images=torch.zeros(len(metas), 3, 64, 100, dtype=torch.uint8),
                targets=Targets(boxes=torch.zeros(0, 4), labels=none, image_index=none),
                metas=metas,
            )
        )
    return made


def perfect(batch: Batch) -> Output:
    """Find every truth exactly, in the network frame."""
    found = []
    for meta in batch.metas:
        boxes = torch.from_numpy(meta.to_network(RECORDS[meta.image_id].boxes))
        scores, labels = torch.tensor([0.9]), torch.tensor([0])
        found.append(Detections(boxes=boxes, scores=scores, labels=labels))
    caps = [meta.image_id == 1 for meta in batch.metas]
    return Output(detections=found, at_candidate_cap=caps, at_detection_cap=[True] * len(found))


def make_evaluator() -> DetectionEvaluator:
    return DetectionEvaluator(
        truths=RECORDS, class_names=["thing"], judge="hotcoco", report_threshold=0.25
    )


def run(detect: object = perfect, given: object = None, **options: object) -> EvalResult:
    return evaluate(
        detect,  # type: ignore[arg-type]
        batches(2) if given is None else given,  # type: ignore[arg-type]
        make_evaluator(),
        device=CPU,
        progress=bool(options.get("progress", False)),
        description="validate",
    )


def test_detections_are_judged_in_the_original_frame() -> None:
    result = run()
    assert result.map50_95 == pytest.approx(1)
    assert result.counts == {
        "images": 5,
        "truths": 5,
        "ignored": 0,
        "detections": 5,
        "images_at_candidate_cap": 1,
        "images_at_detection_cap": 5,
        "images_cut": 5,
    }


def test_batch_size_and_order_have_no_influence() -> None:
    results = [run(given=batches(size)) for size in (1, 2, 5)] + [run(given=batches(2)[::-1])]
    assert all(replace(result, seconds={}) == replace(results[0], seconds={}) for result in results)


def test_detections_stay_in_the_evaluator_for_saving() -> None:
    evaluator = make_evaluator()
    for _ in range(2):
        evaluate(perfect, batches(2), evaluator, device=CPU, progress=False, description="")
    rows = evaluator.to_coco_results([1])
    assert [row["bbox"] for row in rows] == [[20, 10, 70 + i, 50] for i in range(5)]


def test_boxes_are_clipped_to_the_image() -> None:
    def too_large(batch: Batch) -> Output:
        output = perfect(batch)
        huge = [replace(found, boxes=found.boxes * 100 - 999) for found in output.detections]
        return replace(output, detections=huge)

    evaluator = make_evaluator()
    evaluate(too_large, batches(5), evaluator, device=CPU, progress=False, description="")
    for row in evaluator.to_coco_results([1]):
        x, y, width, height = row["bbox"]
        assert 0 <= x <= x + width <= 200
        assert 0 <= y <= y + height <= 100


def test_detect_runs_without_gradient_and_leaves_usable_tensors() -> None:
    weight = torch.ones(1, requires_grad=True)
    made = []

    def detect(batch: Batch) -> Output:
        made.append(weight * 2)
        return perfect(batch)

    run(detect)
    assert not any(tensor.requires_grad for tensor in made)
    (weight * made[0]).sum().backward()
    assert torch.is_grad_enabled()


def test_seconds_tell_who_was_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("utils.engine.evaluation.perf_counter", lambda: clock[0])

    def slow_batches() -> Iterator[Batch]:
        for batch in batches(2):
            clock[0] += 1
            yield batch

    def slow_detect(batch: Batch) -> Output:
        clock[0] += 10
        return perfect(batch)

    assert run(slow_detect, slow_batches()).seconds == {"load": 3, "inference": 30, "judge": 0}


def test_forgotten_and_doubled_images_are_errors() -> None:
    with pytest.raises(ValueError, match="never evaluated"):
        run(given=batches(2)[:-1])
    with pytest.raises(ValueError, match="given twice"):
        run(given=batches(2) + batches(2))


def test_missing_output_is_an_error() -> None:
    def forgetful(batch: Batch) -> Output:
        output = perfect(batch)
        return replace(output, detections=output.detections[:-1])

    with pytest.raises(ValueError, match="longer"):
        run(forgetful)


def test_no_images_at_all() -> None:
    evaluator = DetectionEvaluator(
        truths=[], class_names=["thing"], judge="hotcoco", report_threshold=0.25
    )
    result = evaluate(perfect, [], evaluator, device=CPU, progress=True, description="validate")
    assert result.map50_95 == 0
    assert result.counts["images"] == 0


def test_progress_writes_nothing_into_a_log_file(capfd: pytest.CaptureFixture[str]) -> None:
    run(progress=True)
    run(given=(batch for batch in batches(2)), progress=True)
    assert capfd.readouterr() == ("", "")
