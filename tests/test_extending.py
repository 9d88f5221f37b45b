"""The worked examples of docs/extending.md, all together in one copy of the program.

The blocks of the page are taken as they stand. One Python process builds, trains and exports with
them and prints what came out; the tests compare that with slow oracles.
"""

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from tests.data.synthetic.scene_files import write_scenes
from tests.worked_example import REPOSITORY, extended_copy, run_in

pytestmark = pytest.mark.slow


PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
ALLOWED = {
    "a loss of one logit": 3,
    "an assigner": 3,
    "an anchor-free head": 5,
    "a data format": 3,
    "a pixel augmentation": 3,
    "a hook": 1,
    "a shipped hook": 2,
    "parts of your own": 1,
    "an export format": 2,
}
NAMES = ("disc", "ring", "box", "cross", "triangle", "star")


NEW_FILE = re.compile(r"New file `([\w.]+)` in (?:the working directory|`(\S+)/`):")


class Block(NamedTuple):
    """A code block, its section, and the line in front of it."""

    section: str
    lead: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    section = ""
    parts = r"^#{2,3} ([^\n]+)$|^([^\n]+)\n\n```(\w+)\n(.*?)^```$"
    for heading, *block in re.findall(parts, PAGE, flags=re.DOTALL | re.MULTILINE):
        section = heading.lower() or section
        if not heading:
            yield Block(section, *block)


def replacements(diff: str) -> dict[str, str]:
    """Return what to replace by what; the parts of a diff have @@ between them."""
    found = {}
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        assert all(line[0] in " -+" for line in lines), hunk
        old, new = ("".join(x[1:] for x in lines if x[0] in kept) for kept in (" -", " +"))
        found[old] = new
    return found


class Examples(NamedTuple):
    """What the page changes, by section, and what a user of it writes."""

    changes: dict[str, dict[Path, dict[str, str]]]
    experiment: dict[str, Any]
    files: dict[str, str]
    script: str


def examples() -> Examples:
    found = Examples({}, {}, {}, next(b.text for b in blocks() if b.lead == "From Python:"))
    for block in blocks():
        own = found.changes.setdefault(block.section, {})
        if new := NEW_FILE.fullmatch(block.lead):
            own[Path(new[2] or "", new[1])] = {"": block.text}
        elif changed := re.fullmatch(r"In `(\S+\.py)`:", block.lead):
            own[Path(changed[1])] = replacements(block.text)
        elif block.lead == "In an experiment:" or block.lead.startswith("Or in an experiment"):
            merge(found.experiment, yaml.safe_load(block.text))
        elif block.language == "yaml":
            (name,) = re.findall(r"`(\w+\.yaml)`", block.lead)
            found.files[name] = block.text
        else:
            assert block.text == found.script, block.lead
    for name, folder in re.findall(r"The same file `([\w.]+)` in `(\S+)/`", PAGE):
        found.changes["a shipped hook"][Path(folder, name)] = found.changes["a hook"][Path(name)]
    return found


def merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            merge(below[key], value)
        else:
            below[key] = value


def test_the_places_are_counted() -> None:
    changes = examples().changes
    counts = {name: len(own) for name, own in changes.items()}
    assert counts.keys() == ALLOWED.keys()
    assert [name for name, count in counts.items() if count > ALLOWED[name]] == []
    stated = re.findall(r"^\| \[(.+?)\]\(#([\w-]+)\).*?\| (\d) \|", PAGE, flags=re.MULTILINE)
    assert {anchor.replace("-", " "): int(count) for _, anchor, count in stated} == {
        name.replace("-", " "): count for name, count in counts.items()
    }
    for name, own in changes.items():
        new = [path for path, each in own.items() if "" in each]
        assert len(new) == 1, name
        assert not (REPOSITORY / new[0]).exists()
        assert all((REPOSITORY / path).is_file() for path in own if path not in new)


PROGRAM = """
import json, logging, sys
from pathlib import Path
import numpy, torch, yaml

torch.set_num_threads(1)
found = {}

from configs.reading.load import load_experiment
from data.augment.pixel_ops import PIXEL_OPS
from data.formats.readers import READERS
from data.records.load import load_split
from models.detector import build_detector
from models.detector import init_weights
from models.losses import build_criterion
from utils.structures.batch import Targets
from utils.structures.predictions import Predictions

settings = load_experiment("experiment.yaml").experiment

# The loss.
torch.manual_seed(0)
detector = build_detector(yaml.safe_load(Path("distances.yaml").read_text()), num_classes=6)
init_weights(detector)
criterion = build_criterion(settings.loss, num_classes=6, num_levels=2, image_size=64)
loss = criterion.classification.loss
x = torch.tensor([-200.0, -3, -0.5, 0, 1, 8, 200]).repeat(3).requires_grad_()
t = torch.tensor([0.0, 1, 0.3]).repeat_interleave(7)
values = loss(x, t)
values.sum().backward()
found["loss"] = [x.tolist(), t.tolist(), values.tolist(), x.grad.tolist()]

# The head, and one step.
images = torch.rand(2, 3, 64, 96)
predictions = detector(images)
decoded = predictions.decode()
found["head"] = {
    "raw": [level.tolist() for level in predictions.levels],
    "boxes": decoded.boxes.tolist(),
    "scores": decoded.class_scores.tolist(),
}
boxes = [[2, 2, 40, 40], [60, 10, 75, 30], [1, 1, 5, 4], [30, 20, 30, 30], [0, 0, 96, 64]]
boxes = torch.tensor(boxes, dtype=torch.float32)
targets = Targets(
    boxes=boxes, labels=torch.tensor([1, 0, 5, 2, 3]), image_index=torch.tensor([0, 1, 1, 0, 1])
)
terms = criterion(predictions, targets)
terms.total.backward()
rows = [(detector.head.state_dict()[n], r) for n, r in detector.head.class_rows().items()]
found["class rows"] = [[len(tensor) - r.groups * (r.others + 6), r.others] for tensor, r in rows]
found["unmoved"] = [n for n, p in detector.named_parameters() if not bool(p.grad.any())]

# The assigner.
found["assigner"] = [
    torch.stack((e.image, e.anchor, e.row, e.column, e.target))[:, e.valid].T.tolist()
    for e in criterion.assigner(predictions, targets).levels
]
none = Targets(
    boxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), image_index=torch.zeros(0).long()
)
found["no targets"] = float(criterion(predictions, none).total.detach())

# The format.
splits = [load_split(settings.data, name) for name in ("train", "val")]
found["format"] = {
    Path(r.path).name: [r.boxes.tolist(), r.labels.tolist()] for s in splits for r in s.records
}
found["sizes"] = [len(split.records) for split in splits]
found["rejected"] = [d.reason for s in splits for d in s.report.decisions if d.action == "rejected"]

reader = READERS[type(settings.data)](settings.data, "train")
part = reader.write_part(splits[0].records[:2], range(6), Path("part"))
own = load_split(settings.data.model_copy(update={"train": part, "val": None}), "train").records
found["part"] = [[Path(r.path).name for r in records] for records in (own, splits[0].records[:2])]

# The operation.
op = PIXEL_OPS[-1]
rng = numpy.random.default_rng(0)
image = rng.integers(0, 256, (16, 16, 3), dtype=numpy.uint8)
drawn = [op.sample(rng, settings.augment) for _ in range(200)]
some = [each for each in drawn if each is not None][:20]
there = op.apply_torch(torch.from_numpy(image).expand(20, -1, -1, -1).clone(), torch.tensor(some))
here = [op.apply_numpy(image.copy(), each) for each in some]
found["pixels"] = {
    "image": image.tolist(),
    "thresholds": some,
    "untouched": drawn.count(None),
    "numpy": [each.tolist() for each in here],
    "equal": bool((there.numpy() == numpy.stack(here)).all() and there.dtype == torch.uint8),
}

# The hooks, in a training run with all of this.
applied = []
apply_numpy = type(op).apply_numpy
type(op).apply_numpy = lambda self, *a: applied.append(a[1]) or apply_numpy(self, *a)
exec(compile(Path("script.py").read_text(), "script.py", "exec"))
found["applied"] = len(applied)
names = ("from_python.json", "from_yaml.json", "status.json")
found["hooks"] = [json.loads((folder.path / name).read_text()) for name in names]
found["metrics"] = folder.metrics.read_text()

# The export.
from commands.build.exported import ExportedDetector
from commands.export.cli import parse_export_command
from commands.export.run import export

messages = []
logging.getLogger().addHandler(type("Keep", (logging.Handler,), {
    "emit": lambda self, record: messages.append(record.getMessage())
})())
logging.getLogger().setLevel(logging.INFO)
(path,) = export(parse_export_command(["--weights", str(folder.best), "--format", "ort"]))
cells = ExportedDetector(path)(torch.rand(1, 3, 64, 96))
found["export"] = [path.name, path.read_bytes()[4:8].decode(), messages[0], list(cells.boxes.shape)]
print(json.dumps(found))
"""
TRAINING: dict[str, Any] = {
    "train": {
        "epochs": 1, "image_size": 64, "batch_size": 4, "nominal_batch": 4, "workers": 0,
        "threads": 1, "device": "cpu", "cache": "off",
    },
    "augment": {"device": "cpu"},
    "data": {"cache": False, "max_rejected": 0.5},
    "run": {"folder": "runs"},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with all examples."""
    folder = tmp_path_factory.mktemp("extended") / "copy"
    changes = examples().changes.values()
    extended_copy(folder, {path: change for own in changes for path, change in own.items()})
    return folder


@pytest.fixture(scope="module")
def truths(folder: Path) -> dict[str, Any]:
    """Boxes and labels by name of the images whose table is in the copy, with one broken row."""
    (folder / "boxes").mkdir()
    found: dict[str, Any] = {}
    lines = []
    for record in write_scenes(folder / "boxes", 12):
        name, labels, boxes = Path(record.path).name, record.labels % 6, record.boxes.tolist()
        if boxes:  # a table of objects cannot name an image without any
            found[name] = [boxes, labels.tolist()]
        for label, box in zip(labels, boxes, strict=True):
            lines.append(",".join([name, NAMES[label], *map(str, box)]))
    lines.append("0.png,hexagon,1,1,9,9")
    (folder / "boxes" / "table.csv").write_text("\n".join(lines))
    return found


@pytest.fixture(scope="module")
def came_out(folder: Path, truths: dict[str, Any]) -> dict[str, Any]:
    """What the program said in the copy."""
    page = examples()
    for name, text in {**page.files, "script.py": page.script}.items():
        (folder / name).write_text(text)
    settings = copy.deepcopy(TRAINING)
    merge(settings, page.experiment)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(settings))
    return json.loads(run_in(folder, PROGRAM).splitlines()[-1])


def test_the_loss_is_its_formula_and_its_slope(came_out: dict[str, Any]) -> None:
    q = 0.5  # as on the page

    def formula(x: float, t: float) -> float:
        p = 1 / (1 + math.exp(-x))
        return (1 - (t * p + (1 - t) / (1 + math.exp(x))) ** q) / q

    for x, t, value, slope in zip(*came_out["loss"], strict=True):
        assert value == pytest.approx(formula(x, t), abs=1e-6)
        numeric = (formula(x + 1e-4, t) - formula(x - 1e-4, t)) / 2e-4
        assert slope == pytest.approx(numeric, abs=1e-5)


def test_the_head_decodes_distances(came_out: dict[str, Any]) -> None:
    raw, cell = came_out["head"]["raw"], 0
    for level, stride in zip(raw, (8, 16), strict=True):
        for row in range(64 // stride):
            for column in range(96 // stride):
                left, top, right, bottom, *logits = level[1][0][row][column]
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                sides = [math.exp(side) * stride for side in (left, top, right, bottom)]
                box = [x - sides[0], y - sides[1], x + sides[2], y + sides[3]]
                assert came_out["head"]["boxes"][1][cell] == pytest.approx(box, abs=1e-3)
                scores = [1 / (1 + math.exp(-logit)) for logit in logits]
                assert came_out["head"]["scores"][1][cell] == pytest.approx(scores, abs=1e-5)
                cell += 1
    assert cell == len(came_out["head"]["boxes"][1])


def test_every_weight_learns_and_starts_at_its_prior(came_out: dict[str, Any]) -> None:
    assert 0.003 < np.median(came_out["head"]["scores"]) < 0.03
    assert came_out["class rows"] == [[0, 4]] * 4
    assert came_out["unmoved"] == []
    assert 0 < came_out["no targets"] < math.inf


def test_the_assigner_takes_cells_around_centres(came_out: dict[str, Any]) -> None:
    boxes = [[2, 2, 40, 40], [60, 10, 75, 30], [1, 1, 5, 4], [30, 20, 30, 30], [0, 0, 96, 64]]
    expected: list[list[list[int]]] = [[], []]
    for target, (image, (left, top, right, bottom)) in enumerate(
        zip((0, 1, 1, 0, 1), boxes, strict=True)
    ):
        longer = max(right - left, bottom - top)
        if min(right - left, bottom - top) <= 0:
            continue
        level = min((0, 1), key=lambda k: abs(math.log2(longer / 4 / (8, 16)[k])))
        stride = (8, 16)[level]
        own = (int((top + bottom) / 2 // stride), int((left + right) / 2 // stride))
        for row in range(64 // stride):
            for column in range(96 // stride):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                is_near = max(abs(row - own[0]), abs(column - own[1])) <= 1
                is_inside = left < x < right and top < y < bottom
                if (is_near and is_inside) or (row, column) == own:
                    expected[level].append([image, 0, row, column, target])
    assert [sorted(level) for level in came_out["assigner"]] == [sorted(e) for e in expected]
    assert all(expected)


def test_the_format_reads_its_table(came_out: dict[str, Any], truths: dict[str, Any]) -> None:
    read = came_out["format"]
    assert read == truths
    assert sum(came_out["sizes"]) == len(read)
    assert min(came_out["sizes"]) > 0
    assert came_out["part"][0] == came_out["part"][1]
    assert len(came_out["part"][0]) == 2
    assert came_out["rejected"] == ["not image, known class and four numbers"]


def test_the_operation_is_applied(came_out: dict[str, Any]) -> None:
    pixels = came_out["pixels"]
    assert pixels["equal"]
    assert 60 < pixels["untouched"] < 140
    assert 128 <= np.min(pixels["thresholds"]) < np.max(pixels["thresholds"]) <= 255
    for (threshold,), changed in zip(pixels["thresholds"], pixels["numpy"], strict=True):
        for before, after in zip(np.ravel(pixels["image"]), np.ravel(changed), strict=True):
            assert after == (255 - before if before >= threshold else before)
    assert came_out["applied"] > 0


def test_hooks_are_called(came_out: dict[str, Any]) -> None:
    one = came_out["hooks"][0]
    assert one["epoch"] == 1
    assert came_out["hooks"] == [one] * 3


def test_the_training_had_finite_terms(came_out: dict[str, Any]) -> None:
    header, row = (line.split(",") for line in came_out["metrics"].splitlines())
    terms = dict(zip(header, row, strict=True))
    assert 0 < float(terms["box"]) < math.inf
    assert 0 < float(terms["classification"]) < math.inf


def test_the_export_is_checked_and_runs(came_out: dict[str, Any]) -> None:
    name, magic, message, shape = came_out["export"]
    assert (name, magic) == ("best.ort", "ORTM")
    assert "boxes within" in message
    assert shape == [1, 12 * 8 + 6 * 4, 4]
