import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils.runtime.machine.environment import git_commit, write_environment


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    result = subprocess.run(
        ["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_file_names_versions_hardware_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--cfg", "x.yaml"])
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    write_environment(tmp_path / "environment.json")
    content = json.loads((tmp_path / "environment.json").read_text())
    assert content["command"] == ["train.py", "--cfg", "x.yaml"]
    assert content["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert content["cores"] >= 1
    assert content["variables"]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert len(content["gpus"]) == torch.cuda.device_count()


def test_commit_of_the_source_and_whether_it_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("x = 1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked.txt").write_text("")
    assert git_commit(tmp_path) == commit
    (tmp_path / "a.py").write_text("x = 2\n")
    assert git_commit(tmp_path) == f"{commit}-changed"


def test_a_folder_inside_a_foreign_repository_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    inner = tmp_path / "site-packages"
    inner.mkdir()
    assert git_commit(inner) is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None
