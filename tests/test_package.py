"""The package: imports below one name, commands in texts, a wheel that stands alone."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def load_setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("focaldet_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def building() -> ModuleType:
    pytest.importorskip("setuptools")
    return load_setup()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from models.detector import D\n", "from focaldet.models.detector import D\n"),
        ("from data import io\n", "from focaldet.data import io\n"),
        ("if x:\n    from utils.a import (\n        b,\n    )\n",
         "if x:\n    from focaldet.utils.a import (\n        b,\n    )\n"),
        ("import torch; from configs.errors import E\n",
         "import torch; from focaldet.configs.errors import E\n"),
        ("from torch.utils.data import DataLoader\n", "from torch.utils.data import DataLoader\n"),
        ("from modelsx.a import b\n", "from modelsx.a import b\n"),
        ("def f():\n    yield from data.rows\n", "def f():\n    yield from data.rows\n"),
        ("raise E from data\n", "raise E from data\n"),
        ("models = data.models\n", "models = data.models\n"),
        ('say("from models import x")\n', 'say("from models import x")\n'),
        ('say("resume with python train.py --resume RUN")\n',
         'say("resume with focaldet train --resume RUN")\n'),
        ('say(f"as {x} val.py does")\n', 'say(f"as {x} focaldet val does")\n'),
        ('say("check_data.py --help")\n', 'say("focaldet check --help")\n'),
        ('ROOT / "train.py"\n', 'ROOT / "train.py"\n'),
        ('say("my_train.py and train.pyc")\n', 'say("my_train.py and train.pyc")\n'),
    ],
)  # fmt: skip
def test_modules_go_below_one_name(building: ModuleType, before: str, after: str) -> None:
    assert building.below_focaldet(before) == after


def test_an_import_that_cannot_be_moved_ends_the_build(building: ModuleType) -> None:
    with pytest.raises(ValueError, match="line 2: write from models import"):
        building.below_focaldet("import torch\nimport models\n")


@pytest.mark.slow
def test_no_module_names_the_others_from_outside(
    building: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "STAGED", tmp_path / "package")
    building.stage()
    package = tmp_path / "package" / "focaldet"
    staged = list(package.rglob("*.py"))
    sources = [path for name in building.PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert len(staged) == len(sources) + len(building.PROGRAMS) + 3
    for path in staged:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.partition(".")[0] not in building.PACKAGES, path
            if isinstance(node, ast.Import):
                tops = {alias.name.partition(".")[0] for alias in node.names}
                assert not tops & {*building.PACKAGES, *building.PROGRAMS}, path
    yamls = {path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml")}
    assert {path.relative_to(package) for path in package.rglob("*.yaml")} == yamls


def test_the_version_is_stated_once() -> None:
    import focaldet

    assert f'version = "{focaldet.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def fresh_environment(folder: Path) -> Path:
    """Return the Python of a virtual environment without a package of ours; it finds the others
    where they are installed, as copies of torch would take minutes.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    specs = [find_spec(name) for name in ("torch", "yaml")]
    places = {Path(spec.origin).parents[1] for spec in specs if spec and spec.origin}
    (site / "others.pth").write_text("".join(f"{place}\n" for place in places))
    return folder / "bin" / "python"


@pytest.mark.slow
def test_a_wheel_trains_beside_packages_of_the_same_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in (ROOT.glob("*.*"), (ROOT / "LICENSE",)):
        for file in filter(Path.is_file, path):
            shutil.copy(file, source)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in load_setup().PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    pip = [sys.executable, "-m", "pip"]
    quiet = ["--quiet", "--no-deps", "--disable-pip-version-check"]
    wheels = tmp_path / "wheels"
    build = [*pip, "wheel", str(source), "--no-build-isolation", "-w", str(wheels), *quiet]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("focaldet-*.whl")
    assert wheel.stat().st_size < 2 * 2**20
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"focaldet"}
    fresh = fresh_environment(tmp_path / "fresh")
    subprocess.run([*pip, "--python", str(fresh), "install", *quiet, str(wheel)], check=True)
    here = tmp_path / "here"
    for name in ("models", "data", "configs"):
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    (here / "utils.py").write_text("raise SystemExit('the wrong module')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str, python: bool = False) -> subprocess.CompletedProcess[str]:
        command = [str(fresh if python else fresh.with_name("focaldet")), *arguments]
        return subprocess.run(
            command, cwd=here, env=environment, capture_output=True, text=True, check=False
        )

    assert "train a detector" in run("--help").stdout
    assert run("--version").stdout.split()[0] == "focaldet"
    wrong = run("trian")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean focaldet train?" in wrong.stderr
    typo = run("train", "--cfg", "quickstart.yaml", "train.epoch=3")
    assert (typo.returncode, "train.epochs" in typo.stderr) == (2, True)
    tiny = ("train.epochs=1", "train.image_size=64", "data.train_images=8", "data.val_images=4",
            "data.test_images=0", "data.side=64", "run.name=tiny")  # fmt: skip
    trained = run("train", "--cfg", "quickstart.yaml", *tiny)
    assert trained.returncode == 0, trained.stderr
    judged = run("val", "--weights", "runs/tiny")
    assert judged.returncode == 0, judged.stderr
    assert "AP50" in judged.stdout
    script = "import focaldet; run = focaldet.Run('runs/tiny'); print(focaldet.__file__); "
    scripted = run("-c", f"{script}print(focaldet.val(run).map50_95)", python=True)
    assert scripted.returncode == 0, scripted.stderr
    place, ap = scripted.stdout.split()[-2:]
    assert Path(place).is_relative_to(fresh.parents[1])
    results = json.loads((here / "runs" / "tiny" / "results.json").read_text())
    assert float(ap) == results["map50_95"]
