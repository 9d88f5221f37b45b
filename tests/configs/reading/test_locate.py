"""Names of networks, experiments and data sets: found by any spelling, else the nearest is said."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER, Source
from configs.reading.design_files import read_design
from configs.reading.locate import find_data_folder, find_experiment, find_graph

SHIPPED = CONFIGS_FOLDER / "models" / "yolov5s.yaml"


@pytest.mark.parametrize(
    "name", ["yolov5s", "yolov5s.yaml", "models/yolov5s", "models/yolov5s.yaml", str(SHIPPED)]
)
def test_a_shipped_network_by_any_name(name: str, tmp_path: Path) -> None:
    assert find_graph(name, Source("command line", tmp_path)) == SHIPPED.resolve()


def test_networks_beside_the_file_go_first(tmp_path: Path) -> None:
    source = Source("my.yaml", tmp_path, line=3)
    (tmp_path / "yolov5s.yaml").touch()
    assert find_graph("yolov5s", source) == (tmp_path / "yolov5s.yaml").resolve()
    (tmp_path / "yolov5s").touch()
    assert find_graph("yolov5s", source) == (tmp_path / "yolov5s").resolve()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yolo5n", "; did you mean yolov5n?"),
        ("models/yolov5_s.yaml", "; did you mean yolov5s?"),
        ("zzz", "configs/models/zzz.yaml"),
        ("x" * 5000, "xxx"),
        ("a\0b", "cannot be a file"),
    ],
)
def test_a_network_that_is_not_there(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.graph") as caught:
        find_graph(name, Source("command line", tmp_path))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("finetun", "finetune.yaml"), ("configs/bcd.yaml", "bccd.yaml"),
     ("compare/focal_vs_bc", "compare/focal_vs_bce.yaml")],
)  # fmt: skip
def test_an_experiment_that_is_not_there(
    name: str, nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"; did you mean {nearest}\?$"):
        find_experiment(Path(name))


@pytest.mark.parametrize(
    "name", ["configs/compare/smoke.yaml", "compare/smoke", "compare/smoke.yaml"]
)
def test_designs_are_found_from_any_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_design(Path(name)).values["arms"]


def test_a_public_data_set_that_was_not_fetched(tmp_path: Path) -> None:
    folder = CONFIGS_FOLDER / "datasets"
    with pytest.raises(ConfigError, match=r"; check_data.py --get bccd fetches it, or set"):
        find_data_folder("no/such", Source("configs/datasets/bccd.yaml", folder, line=4))
    for source in (
        Source("configs/datasets/synthetic.yaml", folder),
        Source("bccd.yaml", tmp_path),
    ):
        with pytest.raises(ConfigError, match=r"; set data\.path") as caught:
            find_data_folder("no/such", source)
        assert "--get" not in str(caught.value)
