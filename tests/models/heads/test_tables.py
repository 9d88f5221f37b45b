"""What each head says about itself, against what it does: whoever adds a head is tested here."""

import pytest
import torch

from configs.heads import HEAD_TRAITS, head_name, head_traits
from models.detector import Detector, build_detector, init_weights
from models.heads import HEADS
from models.heads.priors import Priors
from models.weights.transfer import transfer
from tests.models.factories import tiny_graph


def detector_with(head: str, num_classes: int = 3, seed: int = 0) -> Detector:
    """Two levels of 8 channels with a head of that name, its arguments left to their defaults."""
    traits = HEAD_TRAITS[head]
    arguments = ["nc", "anchors"] if traits.has_anchors else ["nc"]
    rows = [[-1, 1, "Conv", [8, 3, 2]], [[2, 3], 1, head, arguments]]
    graph = {**tiny_graph(head=rows), "anchors": 3}
    if not traits.has_anchors:
        del graph["anchors"]
    torch.manual_seed(seed)
    return build_detector(graph, num_classes=num_classes)


def test_both_tables_name_the_same_heads() -> None:
    assert HEADS.keys() == HEAD_TRAITS.keys()


@pytest.mark.parametrize("name", HEADS)
class TestHead:
    def test_traits_are_those_of_the_head(self, name: str) -> None:
        detector, traits = detector_with(name), HEAD_TRAITS[name]
        assert detector.head.has_objectness == traits.has_objectness
        assert (detector.anchors is not None) == traits.has_anchors
        assert (HEADS[name].default_anchors((4, 8), 3) is not None) == traits.has_anchors

    def test_the_parts_are_views_that_make_up_the_output(self, name: str) -> None:
        detector = detector_with(name)
        predictions = detector(torch.rand(1, 3, 16, 16))
        for raw in predictions.levels:
            box, objectness, classes = predictions.split(raw)
            assert raw.shape[-1] == detector.head.decoder.num_channels(3)
            assert classes.shape == (*raw.shape[:-1], 3)
            channels = box.shape[-1] + classes.shape[-1] + (objectness is not None)
            assert channels == raw.shape[-1]
            raw.data.zero_()
            for part in (box, classes, *(() if objectness is None else (objectness,))):
                part.data += 1
            assert bool((raw == 1).all())

    def test_boxes_scale_with_the_unit_of_length_and_move_with_the_cell(self, name: str) -> None:
        decoder = HEADS[name].decoder if hasattr(HEADS[name], "decoder") else None
        decoder = decoder or detector_with(name).head.decoder
        torch.manual_seed(0)
        coded = decoder.split(torch.randn(50, decoder.num_channels(3))).box
        cells = torch.randint(0, 20, (50, 2)).float()
        anchors = torch.rand(50, 2) * 4 + 0.5 if HEAD_TRAITS[name].has_anchors else None
        large = None if anchors is None else anchors * 8
        in_cell = decoder.boxes(coded, torch.zeros(()), anchors, 1)
        in_pixels = decoder.boxes(coded, cells, large, 8)
        torch.testing.assert_close(in_pixels, (in_cell + cells.repeat(1, 2)) * 8)

    def test_drawing_again_with_one_seed_gives_the_same_head(self, name: str) -> None:
        detector = detector_with(name)
        states = []
        for _ in range(2):
            torch.manual_seed(1)
            init_weights(detector, Priors(image_size=64))
            states.append({k: v.clone() for k, v in detector.state_dict().items()})
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

    def test_classes_start_low_with_priors_and_even_without(self, name: str) -> None:
        detector = detector_with(name).eval()
        scores = []
        for has_prior in (True, False):
            init_weights(detector, Priors(has_prior=has_prior))
            with torch.no_grad():
                decoded = detector(torch.rand(1, 3, 64, 64)).decode()
            scores.append((decoded.objectness[..., None] * decoded.class_scores).mean().item())
        assert scores[0] < scores[1] / 2

    def test_rows_of_common_classes_are_transferred(self, name: str) -> None:
        source, target = detector_with(name, 2, seed=1), detector_with(name, 3, seed=2)
        report = transfer(
            target, source.state_dict(), class_names=["c", "a", "b"], offered_names=["a", "b"]
        )
        assert report.left == report.missing == ()
        assert report.partly
        images = torch.rand(1, 3, 16, 16)
        with torch.no_grad():
            ours, theirs = target.eval()(images).decode(), source.eval()(images).decode()
        torch.testing.assert_close(ours.boxes, theirs.boxes)
        torch.testing.assert_close(ours.class_scores[..., 1:], theirs.class_scores)


def test_a_graph_says_which_head_it_has() -> None:
    assert head_name(tiny_graph()) == "Detect"
    assert head_traits(tiny_graph()) == HEAD_TRAITS["Detect"]
    assert head_traits(tiny_graph(head=[[-1, 1, "Nothing", []]])) is None
    for damaged in ({}, {"head": 3}, {"head": []}, {"head": [7]}, {"head": [[1, 2]]}):
        assert head_name(damaged) is None
        assert head_traits(damaged) is None
