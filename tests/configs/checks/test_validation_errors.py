from collections.abc import Callable

import pytest

from tests.configs.conftest import Write

Faults = Callable[..., list[str]]


RETINA = "model: {graph: models/retinanet-csp-n.yaml}\n"


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("loss.objectnes.gamma", "loss.objectness.gamma"),
        ("train.epoch", "train.epochs"),
        ("train.lr", "train.optimizer.lr"),
        ("lr", "train.optimizer.lr"),
        ("alpha", "loss.objectness.alpha"),
        ("batch_size", "train.batch_size"),
        ("eval.batchsize", "eval.batch_size"),
        ("augment.flopped", None),
        ("data.clas_names", "data.class_names"),
        ("data.train.annotation", "data.train.annotations"),
        ("zzz", None),
    ],
)
def test_an_unknown_key_names_the_nearest(faults: Faults, typo: str, meant: str | None) -> None:
    hint = f"did you mean '{meant}'?" if meant else "--help lists all keys"
    assert faults("", [f"{typo}=1"])[0] == f"unknown key '{typo}' (command line); {hint}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("train:\n  epocs: 3", "unknown key 'train.epocs' (experiment.yaml:2); did you mean "
         "'train.epochs'?"),
        ("train:\n  epochs: '3'", 'train.epochs is "3" (experiment.yaml:2); must be a whole number '
         "of at least 1"),
        ("train: {epochs: 2.5}", "train.epochs is 2.5 (experiment.yaml:1); must be a whole number "
         "of at least 1"),
        ("train: {epochs: true}", "train.epochs is true (experiment.yaml:1); must be a whole "
         "number of at least 1"),
        ("train: {image_size: 33}", "train.image_size is 33 (experiment.yaml:1); must be a whole "
         "number from 32 to 8192 and a multiple of 32"),
        ("augment: {mosaic: 1.5}", "augment.mosaic is 1.5 (experiment.yaml:1); must be a number "
         "from 0 to 1"),
        ("train: {clip_norm: .inf}", "train.clip_norm is .inf (experiment.yaml:1); must be a "
         "number of at least 0"),
        ("train: {clip_norm: .nan}", "train.clip_norm is .nan (experiment.yaml:1); must be a "
         "number of at least 0"),
        ("train: {device: gpu}", 'train.device is "gpu" (experiment.yaml:1); allowed: auto (CUDA, '
         "else CPU), cpu, mps, cuda, or a number of a CUDA device, as in 0 or cuda:0"),
        ("augment: {device: trian}", 'augment.device is "trian" (experiment.yaml:1); must be one '
         "of auto, cpu, train; did you mean 'train'?"),
        ("loss: {box: {name: cious}}", 'loss.box.name is "cious" (experiment.yaml:1); must be one '
         "of iou, giou, diou, ciou, eiou, siou, alpha_iou, focal_eiou, smooth_l1, custom; did "
         "you mean 'ciou'?"),
        ("loss: {objectness: {name: Focal}}", 'loss.objectness.name is "Focal" '
         "(experiment.yaml:1); must be one of bce, bce_alpha, focal, "),
        ("loss: {objectness: {name: 3}}", "loss.objectness.name is 3 (experiment.yaml:1); must be "
         "one of bce, bce_alpha, focal, "),
        ("loss:\n  objectness: {name: bce, alpha: 0.25}", "loss.objectness.alpha has no effect "
         "(experiment.yaml:2): name is bce; use name: bce_alpha or focal or "),
        ("loss: {objectness: {alpha: 0.25}}", "loss.objectness.alpha has no effect "
         "(experiment.yaml:1): name is bce; use name: bce_alpha or focal or "),
        ("train: {optimizer: {name: adam, momentum: 0.9}}", "train.optimizer.momentum has no "
         "effect (experiment.yaml:1): name is adam; use name: sgd, or remove momentum"),
        ("train: {schedule: {name: constant, final: 0.1}}", "train.schedule.final has no effect "
         "(experiment.yaml:1): name is constant; use name: linear or cosine or flat_cosine, or "
         "remove final"),
        ("augment: strong", 'augment is "strong" (experiment.yaml:1); must have keys, of mosaic,'),
        ("loss: {level_balance: [1, x]}", 'loss.level_balance is [1, "x"] (experiment.yaml:1); '
         "must be a list of numbers or null"),
        ("loss: {level_balance: [1, 2]}", "loss.level_balance (experiment.yaml:1) has 2 weights, "
         "the graph has 3 levels"),
        ("loss: {objectness: null}", "loss.objectness (experiment.yaml:1) must not be null: the "
         "head Detect of graph.yaml predicts objectness"),
        ("model: {graph: models/retinanet-csp-n.yaml}", "loss.objectness (default) must be null: "
         "the head Retina of retinanet-csp-n.yaml has no objectness"),
        (RETINA + "loss: {objectness: null, classification: {name: softmax}}",
         "loss.classification.name (experiment.yaml:2) is softmax, which spreads one unit over the "
         "classes and so cannot say background"),
        (RETINA + "loss: {objectness: null, classification: {label_smoothing: 0.1}}",
         "loss.classification.label_smoothing (experiment.yaml:2) would give every background "
         "cell"),
        ("loss: {assigner: {name: iou, positive: 0.3}}", "loss.assigner (experiment.yaml:1): "
         "negative (0.4) must not exceed positive (0.3)"),
        ("loss: {assigner: {name: iou, max_ratio: 4.0}}", "loss.assigner.max_ratio has no effect "),
        ("model: {graph: graph.yaml, anchors: 5}", "model.anchors is 5 (experiment.yaml:1); must "
         "be one of graph, auto or a list of lists of numbers"),
        ("model: {graph: graph.yaml, anchors: [[1, 2]]}", "model.anchors (experiment.yaml:1) has 1 "
         "lists, the graph has 3 levels"),
        ("model: {graph: graph.yaml, anchors: [[1, 2], [3, 4], [5]]}", "model.anchors "
         "(experiment.yaml:1) must have as many pairs w, h on every level"),
        ("model: {graph: graph.yaml, anchors: [[1, 2], [3, 4], [5, 0]]}", "model.anchors "
         "(experiment.yaml:1) must have sides above 0 pixels"),
        ("model: {graph: gone.yaml}", "model.graph 'gone.yaml' (experiment.yaml:1) not found; "
         "tried gone.yaml, "),
        ("model: {graph: 3}", "model.graph is 3 (experiment.yaml:1); must be text"),
        ("eval: {score_threshold: 0.5}", "eval.report_threshold (default) is 0.25, but detections "
         "below eval.score_threshold, 0.5, are dropped"),
        ("data: {path: images_here, train: x, class_names: [a, 3]}", 'data.class_names is ["a", 3] '
         "(experiment.yaml:1); must be a list of texts"),
        ("data: {path: images_here, train: x, class_names: [a, a]}", "data (experiment.yaml:1): "
         "class_names contains 'a' more than once"),
        ("data: {path: images_here, class_names: [a], format: yolov8}", 'data.format is "yolov8" '
         "(experiment.yaml:1); must be one of yolo, coco, voc, labelme, "),
        ("data: {path: images_here, class_names: [a], train: x, first_pixel: 0}",
         "data.first_pixel has no effect (experiment.yaml:1): format is yolo; use format: voc or "
         "auto, or remove first_pixel"),
        ("data: {format: synthetic, class_names: [ring]}", "data.class_names (experiment.yaml:1) "
         "must be the first of disc, ring"),
        ("train: {optimizer: AdamW}", 'train.optimizer is "AdamW" (experiment.yaml:1); type '
         "train.optimizer.name=adamw"),
        ("train: {optimizer: rmsprop}", 'train.optimizer is "rmsprop" (experiment.yaml:1); must '
         "have keys, of name, lr"),
        ("loss: {box: giou}", 'loss.box is "giou" (experiment.yaml:1); type loss.box.name=giou'),
        ("train: {compile: true}", "train.compile is true (experiment.yaml:1); must be one of "
         "off, network, graphs; did you mean 'network'?"),
        ("train: {compile: false}", "train.compile is false (experiment.yaml:1); must be one of "
         "off, network, graphs; did you mean 'off'?"),
        ("hooks: mlflow", 'hooks is "mlflow" (experiment.yaml:1); must be a list of values, as in '
         "[mlflow]"),
        ("loss: {objectness: {name: my.Loss}}", 'loss.objectness.name is "my.Loss" '
         "(experiment.yaml:1); a class of your own is loss.objectness.name=custom "
         "loss.objectness.object=my.Loss"),
        ("data: gone.yaml", "data 'gone.yaml' (experiment.yaml:1) not found; tried gone.yaml, "),
        ("data: [1]", "data is [1] (experiment.yaml:1); must have keys"),
        ("3: x", "unknown key '3' (experiment.yaml:1); --help lists all keys"),
        ("loss: {objectness: {name: focal, gamma: 1, alpha: 0.3, pos_weight: 2}}",
         "loss.objectness (experiment.yaml:1): alpha and pos_weight both weight the positives"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_sentence(faults: Faults, text: str, line: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_focal_without_its_numbers_asks_for_both(faults: Faults) -> None:
    found = faults("", ["loss.objectness.name=focal"])
    assert [line.partition(";")[0] for line in found] == [
        "loss.objectness.gamma is missing (command line)",
        "loss.objectness.alpha is missing (command line)",
    ]


def test_all_mistakes_are_told_together(faults: Faults) -> None:
    found = faults(
        "train: {epochs: 0, image_sise: 3}\nloss: {box: {gain: -1}}\nfoo: 1",
        ["augment.mosaic=2", "eval.judge=coco", "train.seed=[1", "nothing", "a..b=3"],
    )
    for part in (
        "train.epochs is 0",
        "train.image_sise",
        "loss.box.gain is -1",
        "unknown key 'foo'",
        "augment.mosaic is 2",
        "eval.judge is",
        "train.seed (command line): not valid YAML",
        "'nothing' (command line) must read section.key=value",
        "'a..b=3' (command line) must read",
    ):
        assert sum(part in line for line in found) == 1, part
    assert len(found) == 9


def test_no_data_at_all(write: Write, faults: Faults) -> None:
    write("base.yaml", "train: {epochs: 1}")
    assert faults("model: {graph: graph.yaml}\nbase: base.yaml #data:")[0].startswith(
        "data is missing (experiment.yaml); The data set"
    )


def test_a_key_dropped_on_the_way_is_missing_where_it_was_dropped(
    write: Write, faults: Faults
) -> None:
    write("focal.yaml", "loss: {objectness: {name: focal, gamma: 2, alpha: null}}")
    write("bce.yaml", "base: focal.yaml\nloss: {objectness: {name: bce}}")
    found = faults("base: bce.yaml", ["loss.objectness.name=focal"])
    assert found[0].startswith("loss.objectness.gamma is missing (command line)")


def test_a_value_is_cut_where_it_is_long(faults: Faults) -> None:
    assert len(faults("", [f"train.epochs={'x' * 500}"])[0]) < 200


def test_the_place_is_that_of_the_last_statement(write: Write, faults: Faults) -> None:
    write("low.yaml", "\n\ntrain: {epochs: 0}")
    assert "(low.yaml:3)" in faults("base: low.yaml")[0]
    assert "(command line)" in faults("base: low.yaml", ["train.epochs=-1"])[0]
