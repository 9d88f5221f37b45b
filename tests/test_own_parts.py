"""Parts of a user's own module, as docs/extending.md writes them: trained, evaluated, exported."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.run_programs import ROOT
from tests.run_programs import run as run_program
from utils.checkpoint.weights import load_weights

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Parts of your own")[2].partition("\n## ")[0]
FILES = re.findall(r"`(\w+\.(?:py|yaml))`[^\n]*:\n\n```\w+\n(.*?)^```", SECTION, re.S | re.M)
SMALL = (
    "data.train_images=12", "data.val_images=6", "data.test_images=3", "data.side=96",
    "train.image_size=96", "train.batch_size=4", "train.workers=0", "train.threads=1",
    "train.epochs=1", "run.name=own",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name, text in FILES:
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(here: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(program, *arguments, folder=here)


def test_the_page_names_every_kind() -> None:
    assert [name for name, _ in FILES] == ["my_parts.py", "own_network.yaml", "own_parts.yaml"]
    module, network, experiment = (text for _, text in FILES)
    named = set(re.findall(r"my_parts\.(\w+)", network + experiment))
    assert named == set(re.findall(r"^(?:class|def) (\w+)", module, flags=re.MULTILINE))
    settings = yaml.safe_load(experiment)
    assert {*settings["loss"]} == {"assigner", "box", "objectness", "classification"}


@pytest.mark.slow
def test_every_part_is_used_and_weights_with_them_need_trust(here: Path, dataset: Path) -> None:
    data = (f"data.path={dataset}", *SMALL)
    trained = run(here, "train.py", "--cfg", "own_parts.yaml", *data)
    assert trained.returncode == 0, trained.stderr
    tensors, _ = load_weights(here / "runs" / "own" / "best.safetensors")
    assert {"model.2.conv.weight", "model.4.before.0.weight"} <= set(tensors)
    resumed = run(here, "train.py", "--resume", "own", "train.epochs=2")
    assert resumed.returncode == 0, resumed.stderr
    for program, *more in (("val.py",), ("export.py", "--format", "torchscript")):
        arguments = ["--weights", "runs/own", *more]
        untrusted = run(here, program, *arguments)
        assert untrusted.returncode == 2
        assert "row 2 (my_parts.Wave): unknown block" in untrusted.stderr
        assert "--trust" in untrusted.stderr
        assert "Traceback" not in untrusted.stderr
        trusted = run(here, program, *arguments, "--trust")
        assert trusted.returncode == 0, trusted.stderr
    shutil.move(here / "my_parts.py", here / "moved.py")
    gone = run(here, "val.py", "--weights", "runs/own", "--trust")
    assert gone.returncode == 2
    assert "my_parts.Wave: there is no module my_parts" in gone.stderr
