from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import (
    RunFolder,
    claim_run_folder,
    data_name,
    open_run_folder,
    run_name,
)


def test_name_tells_configuration_hash_and_seed() -> None:
    name = run_name(Path("configs/bccd.yaml"), config_hash="0123456789abcdef", seed=3)
    assert name == "bccd-01234567-seed3"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/helmets", "helmets"),
        ("/home/me/helmets/", "helmets"),
        ("/home/me/helmets/train", "helmets"),  # the folder of a COCO file
        ("helmets/Valid/images", "helmets"),
        ("helmets/annotations", "helmets"),
        ("C:\\data\\helmets\\train", "helmets"),
        ("/cache/unpacked/helmets-0123456789abcdef/train", "helmets"),
        ("Helmets (v2.1) größe", "Helmets_v2.1_größe"),
        ("bccd/BCCD", "BCCD"),
        ("train", "train"),
        ("/", "data"),
        ("", "data"),
    ],
)
def test_data_are_called_by_the_folder_that_tells_something(path: str, name: str) -> None:
    assert data_name(path) == name


def test_taken_names_get_a_number(tmp_path: Path) -> None:
    parent = tmp_path / "new" / "runs"
    names = [claim_run_folder(parent, "x").path.name for _ in range(3)]
    assert names == ["x", "x-2", "x-3"]
    assert list((parent / "x").iterdir()) == []


def test_runs_that_start_at_once_never_share_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: claim_run_folder(tmp_path, "x").path, range(24)))
    assert len(set(folders)) == 24


def test_a_file_in_the_way_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*runs.x: .*; something else has that name"):
        claim_run_folder(tmp_path / "runs", "x")


def test_read_only_system_is_the_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        claim_run_folder(tmp_path, "x")


def test_open_an_existing_run(tmp_path: Path) -> None:
    folder = claim_run_folder(tmp_path, "x")
    with pytest.raises(UserError, match=r"holds no config\.yaml"):
        open_run_folder(folder.path)
    folder.config.write_text("")
    assert open_run_folder(folder.path) == folder
    with pytest.raises(UserError, match="no such run;"):
        open_run_folder(tmp_path / "absent")


def test_files_have_their_documented_names() -> None:
    folder = RunFolder(Path("r"))
    names = {
        getattr(folder, name).as_posix()
        for name, value in vars(RunFolder).items()
        if isinstance(value, property)
    }
    assert names == {
        "r/config.yaml",
        "r/environment.json",
        "r/labels_report.csv",
        "r/metrics.csv",
        "r/best.safetensors",
        "r/last",
        "r/results.json",
        "r/report.html",
        "r/plots",
        "r/tensorboard",
        "r/loss_scale.json",
        "r/budget.csv",
        "r/budget.json",
        "r/weights_report.csv",
        "r/not_finite",
    }
