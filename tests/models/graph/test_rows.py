from typing import Any

import pytest
import torch
from torch import nn

from configs.errors import ConfigError
from models.blocks.conv import Conv, batch_norm
from models.detector import build_detector
from models.graph.arguments import parse_activation, resolve
from models.graph.build import measure_strides
from models.graph.rows import parse_graph
from tests.models.factories import read_graph, tiny_graph


def with_row(index: int, row: Any) -> dict[str, Any]:
    """The tiny graph with one backbone row replaced."""
    backbone = tiny_graph()["backbone"]
    backbone[index] = row
    return tiny_graph(backbone=backbone)


def test_channels_and_repeats_follow_the_multiples() -> None:
    graph = parse_graph(read_graph("yolov5n"), num_classes=80)
    channels = [graph.rows[index].out_channels for index in (0, 1, 2, 4, 12, 17)]
    assert channels == [16, 32, 32, 64, 256, 64]
    repeats = [graph.rows[index].arguments[2] for index in (2, 4, 6, 8)]
    assert repeats == [1, 2, 3, 1]


@pytest.mark.parametrize(("depth", "repeats"), [(0.5, 2), (0.1, 1), (1.5, 8)])
def test_repeats_round_half_to_even_and_stay_above_zero(depth: float, repeats: int) -> None:
    mapping = with_row(1, [-1, 5, "Conv", [8, 3, 1]])
    graph = parse_graph({**mapping, "depth_multiple": depth}, num_classes=3)
    assert graph.rows[1].repeats == repeats


def test_width_rounds_up_to_a_multiple_of_eight() -> None:
    graph = parse_graph(tiny_graph(width_multiple=1.1), num_classes=3)
    assert [row.out_channels for row in graph.rows[:4]] == [16, 16, 16, 24]


def test_plain_blocks_are_repeated_in_a_row() -> None:
    mapping = with_row(2, [-1, 3, "Bottleneck", [8]])
    detector = build_detector(mapping, num_classes=3)
    assert [len(list(detector.model[index].children())) for index in (2,)] == [3]
    assert detector(torch.rand(1, 3, 16, 16)).levels[0].shape == (1, 2, 4, 4, 8)


def test_classes_of_the_data_replace_those_of_the_graph() -> None:
    assert build_detector(tiny_graph(nc=80), num_classes=2).num_classes == 2


def test_texts_in_arguments_become_values() -> None:
    stated = ["None", "'nearest'", "True", "nc", ["False", 2], None, 1.5]
    assert resolve(stated, {"nc": 7}, "here") == (None, "nearest", True, 7, (False, 2), None, 1.5)


def test_nothing_in_a_graph_is_executed() -> None:
    hostile = "__import__('os').getcwd()"
    with pytest.raises(ConfigError, match="unknown argument"):
        parse_graph(with_row(1, [-1, 1, "Conv", [8, hostile]]), num_classes=3)
    with pytest.raises(ConfigError, match="unknown activation"):
        build_detector(tiny_graph(activation=hostile), num_classes=3)
    with pytest.raises(ConfigError, match="wrong arguments"):
        parse_activation(f"nn.LeakyReLU({hostile})", "here")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nn.ReLU()", nn.ReLU),
        ("torch.nn.Mish()", nn.Mish),
        ("nn.LeakyReLU(0.1, inplace=True)", nn.LeakyReLU),
    ],
)
def test_activation_replaces_silu_everywhere(text: str, kind: type[nn.Module]) -> None:
    backbone = [*tiny_graph()["backbone"], [-1, 1, "GhostConv", [8]]]
    head = [[-1, 1, "Conv", [16, 3, 2]], [[3, 4], 1, "Detect", ["nc", "anchors"]]]
    mapping = tiny_graph(activation=text, backbone=backbone, head=head)
    detector = build_detector(mapping, num_classes=3)
    activations = [module.act for module in detector.modules() if isinstance(module, Conv)]
    assert all(isinstance(activation, kind) for activation in activations)
    assert len({id(activation) for activation in activations}) == len(activations)


def test_activation_arguments_are_used() -> None:
    leaky = parse_activation("nn.LeakyReLU(0.1, inplace=True)", "here")
    assert isinstance(leaky, nn.LeakyReLU)
    assert (leaky.negative_slope, leaky.inplace) == (0.1, True)


def test_other_rows_of_published_files_are_built() -> None:
    backbone = [
        [-1, 1, "Focus", [8, 3]],
        [-1, 1, "nn.BatchNorm2d", []],
        [-1, 1, "nn.MaxPool2d", [2, 2, 0]],
        [-1, 1, "nn.ZeroPad2d", [[0, 0, 0, 0]]],
        [-1, 1, "BottleneckCSP", [8]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "nn.ConvTranspose2d", [8, 2, 2]],
        [[-1, 4], 1, "Concat", [1]],
    ]
    head = [
        [-1, 1, "Conv", [8, 3, 2]],
        [[7, 8], 1, "Detect", ["nc", "anchors"]],
    ]
    detector = build_detector(tiny_graph(backbone=backbone, head=head), num_classes=3)
    assert detector.strides == (4, 8)
    assert isinstance(detector.model[1], nn.BatchNorm2d)
    assert detector.model[1].eps == batch_norm(1).eps == 1e-3
    assert detector(torch.rand(2, 3, 16, 24)).levels[1].shape == (2, 2, 2, 3, 8)


ERRORS = [
    (with_row(1, [-1, 1, "Cnov", [8]]), r"g.yaml, row 1 \(Cnov\).*did you mean 'Conv'"),
    (with_row(1, [-1, 1, "Upsample", [8]]), r"did you mean 'nn.Upsample'"),
    (with_row(1, [-1, 1, ["Conv"], [8]]), r"row 1 .*unknown block"),
    (with_row(1, [-1, 1, "Conv"]), r"row 1: must be \[from, repeats, block, args\]"),
    (with_row(1, "Conv"), r"row 1: must be"),
    (with_row(1, [1, 1, "Conv", [8]]), r"row 1 \(Conv\): from 1 is not a row before row 1"),
    (with_row(1, [-3, 1, "Conv", [8]]), r"from -3 is not a row before"),
    (with_row(1, ["-1", 1, "Conv", [8]]), r"from must be a row number"),
    (with_row(1, [[], 1, "Conv", [8]]), r"from must be a row number"),
    (with_row(1, [True, 1, "Conv", [8]]), r"from must be a row number"),
    (with_row(1, [[-1, 0], 1, "Conv", [8]]), r"reads one row, but from lists 2"),
    (with_row(1, [-1, 0, "Conv", [8]]), r"repeats must be a whole number from 1, got 0"),
    (with_row(1, [-1, 1.5, "Conv", [8]]), r"repeats must be a whole number"),
    (with_row(1, [-1, 1, "Conv", 8]), r"args must be a list"),
    (with_row(1, [-1, 1, "Conv", []]), r"the first argument must be the number of output channels"),
    (with_row(1, [-1, 1, "Conv", [-8]]), r"number of output channels, got -8"),
    (with_row(1, [-1, 1, "Conv", ["eight"]]), r"row 1 \(Conv\): unknown argument 'eight'"),
    (with_row(1, [-1, 1, "nn.Upsample", ["None", 2, "neerest"]]), r"did you mean 'nearest'"),
    (with_row(1, [-1, 1, "Conv", [8, 3, 1, 1, 1, 1, True, 9]]), r"row 1 \(Conv\): .*argument"),
    (with_row(1, [-1, 1, "Conv", [8, 3, 1, 1, 5]]), r"row 1 \(Conv\): .*divisible by groups"),
    (with_row(1, [-1, 1, "Conv", [8, 3, 0]]), r"row 1 \(Conv\): "),
    (with_row(2, [[-1, 0], 1, "Concat", [1]]), r"row 2 \(Concat\): does not fit its input"),
    (with_row(2, [[-1, -1], 1, "Concat", [2]]), r"row 2 \(Concat\): makes .* 16 channels"),
    (with_row(2, [-1, 1, "Conv", [8, 2, 1, 0]]), r"row 4 \(Detect\): .*not a whole number"),
    (tiny_graph(depth_multiple=0), r"g.yaml: depth_multiple must be a number above 0, got 0"),
    (tiny_graph(width_multiple="x"), r"width_multiple must be a number above 0, got 'x'"),
    (tiny_graph(widht_multiple=1), r"unknown key 'widht_multiple'; did you mean 'width_multiple'"),
    (tiny_graph(backbone=None), r"backbone must be a list of rows"),
    (tiny_graph(anchors=0), r"anchors must be one list"),
    (tiny_graph(anchors=[[4, 5, 6], [4, 5]]), r"anchors of a level must be w, h, w, h"),
    (tiny_graph(anchors=[[4, -5], [4, 5]]), r"in pixels above 0"),
    (tiny_graph(anchors=[[4, 5], [4, 5, 6, 7]]), r"every level must have the same number"),
    (tiny_graph(anchors=[[4, 5]]), r"reads 2 levels, but anchors has 1"),
    (tiny_graph(activation=3), r"activation must be text such as nn.ReLU"),
    (tiny_graph(activation="nn.Relu()"), r"activation: unknown activation 'nn.Relu'; did you mean"),
    (tiny_graph(activation="ReLU"), r"is not an activation; write it as nn.ReLU\(\)"),
    (tiny_graph(activation="nn.ReLU(x)"), r"wrong arguments in 'nn.ReLU\(x\)'"),
    (tiny_graph(head=[[-1, 1, "Conv", [8]]]), r"the last row, and no other, must be Detect"),
    (tiny_graph(head=[[[1, 2], 1, "Detect", ["nc"]]]), r"args must be \[nc, anchors\]"),
    (tiny_graph(head=[[[1, 2], 1, "Detect", [80, "anchors"]]]), r"args must be \[nc, anchors\]"),
]


@pytest.mark.parametrize(("mapping", "message"), ERRORS)
def test_mistakes_name_file_row_and_block(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_detector(mapping, num_classes=3, source="g.yaml")


def test_missing_keys_are_named() -> None:
    for key in ("backbone", "head", "anchors"):
        mapping = tiny_graph()
        del mapping[key]
        with pytest.raises(ConfigError, match=f"key '{key}' is missing"):
            parse_graph(mapping, num_classes=3)


def test_measuring_strides_draws_no_random_number() -> None:
    graph = parse_graph(tiny_graph(), num_classes=3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert measure_strides(graph) == (4, 8)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sum_has_the_channels_of_its_parts() -> None:
    backbone = [*tiny_graph()["backbone"][:2], [[-1, 1], 1, "Add", []]]
    assert parse_graph(tiny_graph(backbone=backbone), num_classes=3).rows[2].out_channels == 8


def test_parts_of_a_sum_that_differ_name_the_row() -> None:
    backbone = [*tiny_graph()["backbone"][:2], [[1, 0], 1, "Add", []]]
    with pytest.raises(ConfigError, match=r"graph, row 2 \(Add\): does not fit .*cannot be added"):
        build_detector(tiny_graph(backbone=backbone), num_classes=3)


def test_a_graph_without_rows_has_no_head() -> None:
    mapping = {**tiny_graph(), "backbone": [], "head": []}
    with pytest.raises(ConfigError, match="the last row, and no other, must be"):
        parse_graph(mapping, num_classes=3)


def test_constants_of_the_norms_and_what_is_subtracted_are_the_graph_s() -> None:
    changes = {"batch_norm": [1e-5, 0.1], "input_mean": [0.5, 0.25, 0.0]}
    plain, changed = (
        build_detector(tiny_graph(**keys), num_classes=3).eval() for keys in ({}, changes)
    )
    norms = [m for m in changed.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}
    assert changed.state_dict().keys() == plain.state_dict().keys()
    changed.load_state_dict(plain.state_dict())
    for norm in norms:
        norm.eps = 1e-3
    images = torch.rand(1, 3, 16, 16)
    mean = torch.tensor([0.5, 0.25, 0.0]).view(1, 3, 1, 1)
    before = images.clone()
    with torch.no_grad():
        found, expected = changed(images).levels, plain(images - mean).levels
    assert all(map(torch.equal, found, expected))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("batch_norm", [1e-5], r"must be \[eps, momentum\]"),
        ("batch_norm", [0, 0.1], r"must be \[eps, momentum\]"),
        ("batch_norm", [1e-5, True], r"must be \[eps, momentum\]"),
        ("batch_norm", "small", r"must be \[eps, momentum\]"),
        ("input_mean", [0.5, 0.5], "red, green and blue"),
        ("input_mean", [0.5, 0.5, 123.0], "red, green and blue"),
        ("input_mean", [0.5, 0.5, float("nan")], "red, green and blue"),
        ("input_mean", 0.5, "red, green and blue"),
    ],
)
def test_wrong_constants_are_refused(key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_graph(tiny_graph(**{key: value}), num_classes=3)
