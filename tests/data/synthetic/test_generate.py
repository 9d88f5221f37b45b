import hashlib
import json
import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import data.synthetic.generate
from configs.schema.data import SyntheticDataset
from data.synthetic import render_scene
from data.synthetic.generate import MANIFEST, ensure_written
from utils.runtime.errors import UserError

TINY = {"train_images": 4, "val_images": 2, "test_images": 1, "side": 96}


def tiny(path: Path, **changes: object) -> SyntheticDataset:
    settings = {"format": "synthetic", "path": str(path), **TINY, **changes}
    return SyntheticDataset.model_validate(settings)


def content_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.parent.iterdir() if path != root]


def read_labels(path: Path) -> np.ndarray:
    rows = [line.split() for line in path.read_text().splitlines()]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def test_layout_is_yolo(tmp_path: Path) -> None:
    dataset = ensure_written(tiny(tmp_path / "deep" / "set"))
    root = Path(dataset.path)
    assert root == (tmp_path / "deep" / "set").resolve()
    assert (dataset.train, dataset.val, dataset.test) == (
        "images/train",
        "images/val",
        "images/test",
    )
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        stems = [f"{index:06d}" for index in range(count)]
        assert sorted(path.name for path in (root / "images" / split).iterdir()) == [
            f"{stem}.jpg" for stem in stems
        ]
        assert sorted(path.name for path in (root / "labels" / split).iterdir()) == [
            f"{stem}.txt" for stem in stems
        ]
    assert leftovers(root) == []


def test_reader_settings_are_passed_on(tmp_path: Path) -> None:
    names = ("disc", "ring")
    dataset = ensure_written(
        tiny(tmp_path / "set", class_names=names, max_rejected=0.5, cache=False, test_images=0)
    )
    assert (dataset.class_names, dataset.max_rejected, dataset.cache) == (names, 0.5, False)
    assert dataset.test is None
    assert not (tmp_path / "set" / "images" / "test").exists()


def test_same_settings_give_same_bytes(tmp_path: Path) -> None:
    first = ensure_written(tiny(tmp_path / "a"))
    second = ensure_written(tiny(tmp_path / "b"))
    assert content_of(Path(first.path)) == content_of(Path(second.path))


def test_seed_and_split_change_the_images(tmp_path: Path) -> None:
    contents = content_of(Path(ensure_written(tiny(tmp_path / "a")).path))
    others = content_of(Path(ensure_written(tiny(tmp_path / "b", data_seed=1)).path))
    images = [contents[name] for name in contents if name.endswith(".jpg")]
    assert len(set(images)) == len(images)
    assert not set(images) & set(others.values())


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few = content_of(Path(ensure_written(tiny(tmp_path / "few", train_images=1)).path))
    many = content_of(Path(ensure_written(tiny(tmp_path / "many")).path))
    del few[MANIFEST]
    assert few.items() <= many.items()


@pytest.mark.slow
def test_labels_are_inside_and_equal_the_scene(tmp_path: Path) -> None:
    dataset = tiny(tmp_path / "set", train_images=30)
    root = Path(ensure_written(dataset).path)
    shapes = set()
    for index in range(30):
        rows = read_labels(root / f"labels/train/{index:06d}.txt")
        image = cv2.imread(str(root / f"images/train/{index:06d}.jpg"))
        scene = render_scene(np.random.default_rng((0, 0, index)), side=96, num_classes=6)
        assert image.shape == scene.image.shape
        shapes.add(image.shape[:2])
        lower, upper = rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2
        assert (lower >= 0).all()
        assert (upper <= 1).all()
        size_wh = image.shape[1::-1]
        np.testing.assert_allclose(lower * size_wh, scene.boxes[:, :2], atol=1e-6)
        np.testing.assert_allclose(upper * size_wh, scene.boxes[:, 2:], atol=1e-6)
        np.testing.assert_array_equal(rows[:, 0], scene.labels)
    assert len(shapes) > 1, "the letterbox is not exercised by images of one shape"


def test_jpeg_shows_the_scene_in_the_right_channel_order(tmp_path: Path) -> None:
    root = Path(ensure_written(tiny(tmp_path / "set")).path)
    scene = render_scene(np.random.default_rng((0, 0, 1)), side=96, num_classes=6)
    image = cv2.imread(str(root / "images/train/000001.jpg"))[..., ::-1].astype(np.float64)
    as_drawn = np.abs(image - scene.image).mean()
    swapped = np.abs(image - scene.image[..., ::-1]).mean()
    assert as_drawn < 12
    assert as_drawn < swapped / 2


def test_content_hash_covers_names_and_bytes(tmp_path: Path) -> None:
    root = Path(ensure_written(tiny(tmp_path / "set")).path)
    digest = hashlib.sha256()
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        for index in range(count):
            for name in (f"images/{split}/{index:06d}.jpg", f"labels/{split}/{index:06d}.txt"):
                digest.update(name.encode() + b"\0" + (root / name).read_bytes())
    manifest = json.loads((root / MANIFEST).read_text())
    assert manifest["content_sha256"] == digest.hexdigest()


def test_second_call_reuses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = tiny(tmp_path / "set")
    first = ensure_written(dataset)
    monkeypatch.setattr(data.synthetic.generate, "render_scene", None)
    assert ensure_written(dataset) == first


def test_reader_settings_do_not_hinder_reuse(tmp_path: Path) -> None:
    ensure_written(tiny(tmp_path / "set"))
    assert ensure_written(tiny(tmp_path / "set", max_rejected=1.0)).max_rejected == 1.0


@pytest.mark.parametrize(
    "change", [{"data_seed": 3}, {"train_images": 5}, {"side": 64}, {"class_names": ("disc",)}]
)
def test_other_settings_get_a_folder_of_their_own(
    tmp_path: Path, change: dict[str, object]
) -> None:
    ensure_written(tiny(tmp_path / "set"))
    before = content_of(tmp_path / "set")
    first = ensure_written(tiny(tmp_path / "set", **change))
    assert ensure_written(tiny(tmp_path / "set", **change)) == first
    assert content_of(tmp_path / "set") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", Path(first.path).name]
    assert Path(ensure_written(tiny(tmp_path / "set")).path).name == "set"


def test_files_of_an_older_generator_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_written(tiny(tmp_path / "set"))
    before = content_of(tmp_path / "set")
    monkeypatch.setattr(data.synthetic.generate, "GENERATOR_VERSION", 99)
    assert Path(ensure_written(tiny(tmp_path / "set")).path).name != "set"
    assert content_of(tmp_path / "set") == before


def test_a_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty and was not generated"):
        ensure_written(tiny(tmp_path / "set"))
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["thesis.txt"]
    assert leftovers(tmp_path / "set") == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": 3}', '{"settings": {}}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=r"another data\.path or delete the folder"):
        ensure_written(tiny(tmp_path / "set"))


def test_a_file_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("")
    with pytest.raises(UserError, match="is a file"):
        ensure_written(tiny(tmp_path / "set"))


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data.path: .*file/set"):
        ensure_written(tiny(tmp_path / "file" / "set"))


def test_unknown_or_reordered_classes_are_refused(tmp_path: Path) -> None:
    for names in (("cat",), ("ring", "disc")):
        with pytest.raises(UserError, match="the first so many of: disc, ring, box"):
            ensure_written(tiny(tmp_path / "set", class_names=names))


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    ensure_written(tiny(tmp_path / "set"))
    assert (tmp_path / "set" / MANIFEST).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_interrupted_generation_is_redone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def stop_at_third(*arguments: object, **settings: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise interruption
        return render_scene(*arguments, **settings)  # type: ignore[arg-type]

    calls: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(data.synthetic.generate, "render_scene", stop_at_third)
        with pytest.raises(interruption):
            ensure_written(tiny(tmp_path / "set"))
    assert list(tmp_path.iterdir()) == []
    whole = content_of(Path(ensure_written(tiny(tmp_path / "other")).path))
    assert content_of(Path(ensure_written(tiny(tmp_path / "set")).path)) == whole


def test_what_a_killed_process_left_is_removed_and_a_live_one_is_left_alone(tmp_path: Path) -> None:
    dead, alive = tmp_path / "set.partial-dead", tmp_path / "set.partial-alive"
    for folder in (dead, alive):
        (folder / "images").mkdir(parents=True)
    long_ago = time.time() - 2 * data.synthetic.generate.ABANDONED_AFTER_S
    os.utime(dead, (long_ago, long_ago))
    ensure_written(tiny(tmp_path / "set"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.partial-alive"]


@pytest.mark.slow
def test_two_at_once_end_with_one_whole_set(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            barrier.wait()
            ensure_written(tiny(tmp_path / "set"))
        except BaseException as error:
            failures.append(error)

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert leftovers(tmp_path / "set") == []
    whole = content_of(Path(ensure_written(tiny(tmp_path / "other")).path))
    assert content_of(tmp_path / "set") == whole


def test_another_set_written_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = data.synthetic.generate.render_scene

    def meanwhile(*arguments: object, **settings: object) -> object:
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / "thesis.txt").write_text("years of work")
        return rendered(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(data.synthetic.generate, "render_scene", meanwhile)
    with pytest.raises(UserError, match="was not generated"):
        ensure_written(tiny(tmp_path / "set"))
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["thesis.txt"]
