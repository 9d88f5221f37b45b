"""Locks, data that changed, programs, names and files of others: the rows that no reader covers."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands.train.data_witness import require_same_data, write_data
from commands.train.run_lock import run_lock
from configs.schema.data import SyntheticDataset
from data.formats.coco.reader import NO_CROWD_FLAG
from data.formats.files import list_files
from data.formats.voc import VocReader
from data.images.io import ImageError, read_image, read_image_size
from data.records.load import load_split
from data.sources.find import find_sources, without_credentials
from data.synthetic.generate import ensure_written
from tests.data.formats.tiny import voc, yolo
from utils.comparison.statistics.verdict import Rule, why_not_equivalent
from utils.export.trust import require_data
from utils.runtime.errors import UserError
from utils.runtime.files.cache_folder import user_cache_folder
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.files.targets import require_target


def test_a_run_is_trained_by_one_process(tmp_path: Path) -> None:
    told = pytest.raises(UserError, match=rf"is being trained by process {os.getpid()} on ")
    with run_lock(tmp_path), told, run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import os,sys; sys.path.insert(0,'.'); from pathlib import Path\n"
        "from commands.train.run_lock import run_lock\n"
        f"with run_lock(Path({str(tmp_path)!r})): os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=False)
    assert (tmp_path / ".claims").is_dir()
    with run_lock(tmp_path):
        pass


def test_changed_data_are_named_and_need_a_word(dataset: Path, tmp_path: Path) -> None:
    settings = SyntheticDataset(
        format="synthetic", path=str(dataset), train_images=12, val_images=6, test_images=3, side=96
    )
    splits = [load_split(settings, "train"), load_split(settings, "val")]
    folder = RunFolder(tmp_path)
    write_data(folder, splits)
    require_same_data(folder, splits, accepted=False)
    with pytest.raises(UserError, match=r"train has .* images, were 12 .*--accept-data"):
        require_same_data(folder, [_renamed(splits[1], "train")], accepted=False)
    require_same_data(folder, [_renamed(splits[1], "train")], accepted=True)


def _renamed(split, name):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    from dataclasses import replace

    return replace(split, name=name)


def test_data_that_only_weights_name_are_not_generated(tmp_path: Path) -> None:
    settings = SyntheticDataset(format="synthetic", path=str(tmp_path / "evil"))
    with pytest.raises(UserError, match="--data"):
        ensure_written(settings, may_generate=False)
    assert list(tmp_path.iterdir()) == []


def test_programs_need_a_word(tmp_path: Path) -> None:
    script = tmp_path / "x.torchscript"
    script.write_bytes(b"")
    with pytest.raises(UserError, match=r"is a program.*--trust"):
        require_data(script, trusted=False)
    require_data(script, trusted=True)
    xml = tmp_path / "x.xml"
    xml.write_text('<net><layer id="0" type="Parameter" version="opset1"/></net>')
    require_data(xml, trusted=False)
    xml.write_text('<net><layer id="0" type="Evil" version="my_extension"/></net>')
    with pytest.raises(UserError, match="my_extension"):
        require_data(xml, trusted=False)


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:SEC@RET@h/a", "rtsp://user:SEC/RET@h/a", "RTSP://user:SECRET@h/a",
        "srt://user:SECRET@h/a", "http://h/a?token=SECRET", "https://h/a;SECRET#SECRET",
        "rtsp:/user:SECRET@h/a", "http://user:SEC?RET@h/a", " rtsp://SECRET@h/a",
    ],
)  # fmt: skip
def test_secrets_appear_nowhere(address: str) -> None:
    shown = without_credentials(address)
    assert "SEC" not in shown
    assert "RET" not in shown
    told = what_is_said_of(address)
    assert "SEC" not in told
    assert "RET" not in told


def what_is_said_of(source: str) -> str:
    try:
        found = find_sources([source])
    except UserError as error:
        return str(error)
    return " ".join(f"{one.name} {one.shown}" for one in (*found.streams, *found.stills))


def test_results_of_a_video_and_of_a_folder_of_its_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for name in ("clip.mp4", "clip/000000.jpg", "clip/000001.jpg"):
        (tmp_path / name).write_bytes(b"x")
    found = find_sources([str(tmp_path)])
    video, stills = found.videos[0].name, {still.name for still in found.stills}
    assert not any(name.startswith(f"{video}/") for name in stills)


@pytest.mark.parametrize(
    "source", ["x" * 5000, "~nosuchuser", "9" * 30, "http://[::1", "a\0b", "xyz://h", "\ud800"]
)
def test_sources_that_cannot_be(source: str) -> None:
    told = what_is_said_of(source)
    assert 0 < len(told) < 500
    assert "\0" not in told


def closed_input() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (None, "standard input is closed"),  # what Python makes of a closed handle
        (closed_input(), "cannot be read"),
        (io.StringIO(), "names no picture"),
        (io.StringIO("\n  \n-\n"), "names no picture"),
        (io.TextIOWrapper(io.BytesIO(b"a\0b.jpg\n")), r"a\x00b.jpg"),
        (io.TextIOWrapper(io.BytesIO(b"\xff\xfe\xe9.jpg\n")), "no such file"),
        (io.StringIO("x" * 5000), "File name too long"),
        (io.StringIO("~nosuchuser"), "home"),
    ],
)
def test_standard_input_that_names_nothing_is_one_line(
    stdin: io.TextIOBase | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    line = what_is_said_of("-")
    assert told in line
    assert "\n" not in line
    assert len(line) < 500


def test_standard_input_names_files_of_any_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        os.fsencode(tmp_path) + b"/" + name for name in (b"\xe9.jpg", "\u2028\x85.jpg".encode())
    ]
    for name in names:
        Path(os.fsdecode(name)).write_bytes(b"x")
    lines = io.BytesIO(b"\r\n".join(names))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines, encoding="ascii"))
    assert [os.fsencode(still.location) for still in find_sources(["-"]).stills] == names


def test_links_back_multiply_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"")
    for number in range(3):
        (tmp_path / "a" / f"loop{number}").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert list(list_files(tmp_path)) == [f"{tmp_path}/a/1.jpg"]


@pytest.mark.parametrize("target", ["..", "../..", "."])
def test_links_of_a_yolo_set_to_its_own_folders_are_left_out_aloud(
    target: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Four images became 164, of which 160 were background (FIELD F21)."""
    dataset = yolo(tmp_path / "set", {f"{n}": "0 .5 .5 .5 .5\n" for n in range(4)}, cache=False)
    (tmp_path / "set" / "images" / "loop").symlink_to(target, target_is_directory=True)
    split = load_split(dataset, "train")
    assert len(split.records) == 4
    assert all(len(record.boxes) == 1 for record in split.records)
    assert "links to folders that are read anyway are left out" in caplog.text


def test_targets_are_looked_at_before_the_work(tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(b"\xff\xd8picture")
    (tmp_path / "old.json").write_text("[1]")
    require_target(tmp_path / "old.json", option="--json")
    require_target(tmp_path / "new.json", option="--json")
    for path in (tmp_path, tmp_path / "no" / "x.json", picture, Path("a\0b")):
        with pytest.raises(UserError, match=r"^--json "):
            require_target(path, option="--json")
    with pytest.raises(UserError, match="is read by this command"):
        require_target(tmp_path / "old.json", option="--json", inputs=[tmp_path / "old.json"])


@pytest.mark.parametrize(("height", "width"), [(65500, 65500), (20000, 20000), (9000, 9000)])
def test_a_small_jpeg_of_a_huge_picture_is_refused_before_it_is_decoded(
    height: int, width: int, tmp_path: Path
) -> None:
    import cv2
    import numpy as np

    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    assert read_image_size(path) == (height, width)
    with pytest.raises(ImageError, match="pixels"):
        read_image(path)


@pytest.mark.parametrize(
    ("flag", "ignored"),
    [("0", False), ("1", True), (0, False), (1, True), (None, False), ([0], None), (2, None)],
)
def test_crowds_by_what_is_said(flag: object, ignored: bool | None, tmp_path: Path) -> None:
    from data.formats.coco import boxes, reader

    annotation = {"category_id": 1, "bbox": [1, 1, 5, 5], "iscrowd": flag}
    box = boxes.read_box(annotation)
    row = reader._parse_annotation("x", annotation, box, {1: 0}, boxes.Layout())
    assert row.fault == (NO_CROWD_FLAG if ignored is None else "")
    assert row.ignore == bool(ignored)


@pytest.mark.parametrize(
    ("xml", "is_read"),
    [
        ('<annotation xmlns="http://x"><object><name>cat</name></object></annotation>', True),
        ("<annotation><objects><object/></objects></annotation>", False),
        ("<annotations><object/></annotations>", False),
        ("<annotation><bndbox/></annotation>", False),
    ],
)
def test_xml_that_is_no_voc_is_no_background(xml: str, is_read: bool, tmp_path: Path) -> None:
    from data.formats.files import SplitFiles

    reader = VocReader(voc(tmp_path, {"a": ""}), "train")
    files = SplitFiles(
        images=(str(reader._images / "a.jpg"),),
        labels={str(reader._list): b"a\n", reader._xml_path("a"): xml.encode()},
    )
    raw = reader.read(files)
    assert (len(raw.images[0].rows) == 1) == is_read
    assert bool(raw.stray_rows) != is_read


def test_nothing_learned_is_nothing_shown() -> None:
    rule = Rule(level=0.95, margin=0.5)
    assert "train longer" in why_not_equivalent(rule, num_seeds=6, baseline=0.08)
    assert "2 seeds" in why_not_equivalent(rule, num_seeds=2, baseline=40.0)
    assert why_not_equivalent(rule, num_seeds=6, baseline=40.0) == ""


def test_a_user_without_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOCALDET_CACHE", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OSError, match="Not a directory"):
        user_cache_folder().mkdir(parents=True)
