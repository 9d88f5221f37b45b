"""The check that a minimal installation can import every module."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.import_everything import ROOT, module_names

OPTIONAL = (
    *("matplotlib", "optuna", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorboard"),
    *("ray", "supervision", "pytest", "hypothesis", "scipy", "sklearn", "mlflow", "wandb"),
)


def imported(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "import_everything.py"
    command = [sys.executable, str(script), "--root", str(root), *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Two packages and a loose file; tests beside them are not the product's."""
    for name, text in {
        "start.py": "import rooms.inner.table",
        "rooms/__init__.py": "",
        "rooms/inner/__init__.py": "",
        "rooms/inner/table.py": "import json",
        "tests/__init__.py": "raise RuntimeError('tests are not imported')",
        "notes/no_package.py": "raise RuntimeError('no package')",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_all_modules_are_found_and_imported(program: Path) -> None:
    assert module_names(program) == ["rooms", "rooms.inner", "rooms.inner.table", "start"]
    result = imported(program)
    assert (result.returncode, result.stdout) == (0, "4 of 4 modules imported\n")


def test_a_module_that_needs_more_is_named(program: Path) -> None:
    (program / "rooms" / "chart.py").write_text("import no_such_package")
    result = imported(program)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "rooms.chart: ModuleNotFoundError: No module named 'no_such_package'",
        "4 of 5 modules imported",
    ]


def test_a_hidden_package_looks_absent(program: Path) -> None:
    result = imported(program, "--hide", "json")
    assert result.returncode == 1
    assert "rooms.inner.table: ModuleNotFoundError" in result.stdout


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    assert imported(tmp_path).returncode == 1


def test_the_product_is_what_is_imported() -> None:
    names = module_names(ROOT)
    assert {"train", "focaldet", "configs.schema", "models.losses.focal"} <= set(names)
    assert not any(name.split(".")[0] in {"tests", "benchmarks", "examples"} for name in names)


@pytest.mark.slow
def test_every_module_imports_without_optional_packages() -> None:
    result = imported(ROOT, "--hide", *OPTIONAL)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
