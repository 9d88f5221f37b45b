"""Finding what the user means, and batches of all that can be read."""

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from configs.schema.evaluation import EvalSettings
from data.loading.framing import Framing
from data.loading.loader import build_eval_batches
from data.sources import FrameBatch, SourceBatches, Sources, find_sources
from data.sources.find import Found
from data.sources.video import RECONNECTS, LiveStream, VideoFile, open_capture
from tests.data.synthetic.scene_files import write_scenes
from utils.runtime.errors import UserError

FRAMING = Framing(image_size=64, stride=8)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_video(
    path: Path, count: int, rate: float = 10.0, size: tuple[int, int] = (48, 64)
) -> None:
    """Frame number i is grey of value 8 i."""
    height, width = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    assert writer.isOpened()
    for number in range(count):
        writer.write(np.full((height, width, 3), 8 * number, np.uint8))
    writer.release()


def batches_of(sources: Sources, batch_size: int = 4) -> SourceBatches:
    return SourceBatches(sources=sources, framing=FRAMING, batch_size=batch_size, threads=2)


class FakeCapture:
    """Gives `pictures` one after the other, then nothing; property values from a table."""

    def __init__(
        self,
        pictures: list[npt.NDArray[np.uint8]],
        *,
        is_open: bool = True,
        rate: float = 10.0,
        count: int = -1,
        broken: tuple[int, ...] = (),
    ) -> None:
        self._pictures = pictures
        self._position = -1
        self._open = is_open
        self._properties = {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_FRAME_COUNT: count}
        self._broken = broken
        self.was_released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self._open

    def grab(self) -> bool:
        self._position += 1
        return self._position < len(self._pictures)

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        return self._position not in self._broken, self._pictures[self._position]

    def get(self, prop: int) -> float:
        return self._properties[prop]

    def release(self) -> None:
        self.was_released = True


def grey(*values: int) -> list[npt.NDArray[np.uint8]]:
    return [np.full((4, 6, 3), value, np.uint8) for value in values]


def in_turn(*captures: FakeCapture) -> Callable[[str], FakeCapture]:
    """Open the captures one after the other; after the last, only closed ones."""
    rest = itertools.chain(captures, itertools.repeat(FakeCapture([], is_open=False)))
    return lambda _: next(rest)


def values(pictures: Iterator[npt.NDArray[np.uint8]]) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pictures]


# Finding


def test_a_folder_gives_images_and_videos_at_any_depth_and_nothing_hidden(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("b.JPG", "sub/a.png", "c.mp4", "d.txt", ".e.jpg", ".f/g.jpg")
        )
    )
    found = find_sources([str(tmp_path)])
    assert [(Path(s.location).name, s.name) for s in found.stills] == [
        ("b.JPG", "b"),
        ("a.png", "sub/a"),
    ]
    assert [s.name for s in found.videos] == ["c"]
    assert found.streams == ()


def test_patterns_and_names_with_brackets(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("1.jpg", "2.jpg", "3.txt", "[1].jpg")))
    assert [s.name for s in find_sources([str(tmp_path / "?.jpg")]).stills] == ["1", "2"]
    assert [s.name for s in find_sources([str(tmp_path / "[1].jpg")]).stills] == ["[1]"]


def test_a_list_on_standard_input_names_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "sub" / "b.jpg")
    text = io.StringIO(f"{tmp_path / 'a.jpg'}\n\n  {tmp_path / 'sub'}  \n-\n")
    assert [s.name for s in find_sources(["-"], text).stills] == ["a", "b"]
    with pytest.raises(UserError, match="standard input names no picture"):
        find_sources(["-"], io.StringIO("\n"))


def test_cameras_and_streams_and_a_file_called_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = "rtsp://user:secret@host:554/live/one?x=1"
    found = find_sources(["0", address])
    assert [s.name for s in found.streams] == ["camera0", "host_554_live_one"]
    assert found.streams[1].location == address
    assert found.streams[1].shown == "rtsp://host:554/live/one"
    touch(tmp_path / "0" / "a.jpg")
    assert find_sources(["0"]).streams == ()


def test_results_never_share_a_name_and_a_file_is_taken_once(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/a.jpg", "y/A.png", "z/a.mp4")]
    touch(*paths)
    found = find_sources([*map(str, paths), str(paths[0])])
    assert [s.name for s in (*found.stills, *found.videos)] == ["a", "A-2", "a-3"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.jpg", "no such file, folder or camera"),
        ("notes.txt", r"neither an image \(.*\.png.*\) nor a video \(.*\.mp4"),
        ("empty", "no image or video in this folder"),
        ("*.webp", "matches no image or video"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=message) as caught:
        find_sources([source])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--source {source}: ")


def stills(*names: str) -> tuple[Found, ...]:
    return tuple(Found(f"/x/{name}", name) for name in names)


@pytest.mark.parametrize(
    ("sources", "ids"),
    [
        (Sources(stills=stills("000000000139.jpg", "7.png")), [139, 7]),
        (Sources(stills=stills("139.jpg", "cat.jpg")), [0, 1]),
        (Sources(stills=stills("1.jpg", "01.jpg")), [0, 1]),
        (Sources(stills=stills("5.jpg"), videos=stills("a.mp4")), [0]),
        (Sources(stills=stills("-5.jpg", "²5.jpg")), [0, 1]),
        (Sources(), []),
    ],
)
def test_image_ids_are_numbers_in_names_or_positions(sources: Sources, ids: list[int]) -> None:
    assert sources.image_ids() == ids


# Still pictures


@pytest.mark.parametrize("rectangular", [True, False])
def test_batches_are_those_of_validation(tmp_path: Path, rectangular: bool) -> None:
    records = write_scenes(tmp_path, 11)
    settings = EvalSettings(batch_size=4, rectangular=rectangular)
    wanted = build_eval_batches(records, image_size=64, stride=8, settings=settings, workers=0)
    batches = batches_of(Sources(stills=tuple(Found(r.path, r.path) for r in records)))
    batches.framing = replace(FRAMING, rectangular=rectangular)
    given = list(batches)
    assert len(given) == len(wanted)
    for ours, theirs in zip(given, wanted, strict=True):
        assert ours.batch.images.equal(theirs.images)
        assert [m.path for m in ours.batch.metas] == [m.path for m in theirs.metas]
        assert [m.scale for m in ours.batch.metas] == [m.scale for m in theirs.metas]
        assert [f.source for f in ours.frames] == [m.path for m in theirs.metas]
        assert [f.image_id for f in ours.frames] == [m.image_id for m in ours.batch.metas]


def test_unreadable_pictures_are_skipped_and_counted(tmp_path: Path) -> None:
    write_scenes(tmp_path, 6)
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "1.png").write_bytes(b"nothing of the kind")
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.png").write_bytes(b"")
    batches = batches_of(find_sources([str(tmp_path)]))
    names = sorted(frame.name for item in batches for frame in item.frames)
    assert names == ["0", "4", "5"]
    assert sorted(Path(skip.source).name for skip in batches.skipped) == ["1.png", "2.png", "3.png"]
    assert all(skip.reason and skip.source not in skip.reason for skip in batches.skipped)
    assert batches.num_pictures() == 6


def test_a_picture_of_another_size_than_its_header_states_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(tmp_path, 1)
    monkeypatch.setattr("data.sources.batches.read_image_size", lambda _: (7, 7))
    batches = batches_of(find_sources([str(tmp_path)]))
    assert list(batches) == []
    assert "another size" in batches.skipped[0].reason


def test_truncated_jpeg_is_skipped_not_guessed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    batches = batches_of(find_sources([str(path)]))
    assert list(batches) == []
    assert len(batches.skipped) == 1


def test_uncommon_pixels_come_upright_as_eight_bit_rgb(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), (200, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg")
    image.convert("L").save(tmp_path / "grey.png")
    deep = np.full((20, 40), 0x8000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    frames = {f.name: f for item in batches_of(find_sources([str(tmp_path)])) for f in item.frames}
    assert frames["turned"].size == (40, 20)
    assert frames["turned"].image().shape == (40, 20, 3)
    assert {name: frames[name].size for name in ("cmyk", "grey", "deep")} == dict.fromkeys(
        ("cmyk", "grey", "deep"), (20, 40)
    )
    assert (frames["deep"].image() == 0x80).all()


# Videos


def test_video_gives_every_picture_in_order_with_its_rate(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 23, rate=12.5)
    write_scenes(tmp_path, 3)
    batches = batches_of(find_sources([str(tmp_path)]), batch_size=5)
    items: list[FrameBatch] = list(batches)
    moving = [frame for item in items for frame in item.frames if frame.number is not None]
    assert batches.num_pictures() == 26
    assert [frame.number for frame in moving] == list(range(23))
    assert [frame.image_id for frame in moving] == list(range(3, 26))
    assert {frame.frame_rate for frame in moving} == {12.5}
    for frame in moving:
        assert abs(int(frame.image().mean()) - 8 * (frame.number or 0)) < 8
    assert moving[7].numbered_name == "a/000007"
    assert batches.skipped == []


def test_pictures_that_cannot_be_decoded_are_counted() -> None:
    def opened(_: str) -> FakeCapture:
        return FakeCapture(grey(1, 2, 3, 4), count=6, broken=(1,))

    video = VideoFile(Found("a.mp4", "a"), opened)
    assert values(iter(video)) == [1, 3, 4]
    assert video.num_missing == 3


def test_a_damaged_video_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    batches = batches_of(find_sources([str(tmp_path)]))
    assert list(batches) == []
    assert [skip.reason for skip in batches.skipped] == ["cannot be read as a video"]
    assert batches.num_pictures() == 0


@pytest.mark.parametrize(("stated", "rate"), [(0, 25), (-1, 25), (29.97, 29.97), (90000, 25)])
def test_a_senseless_frame_rate_is_replaced(stated: float, rate: float) -> None:
    capture = FakeCapture([], rate=stated, count=0)
    assert VideoFile(Found("a.mp4", "a"), lambda _: capture).frame_rate == rate


# Streams


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def live(
    *captures: FakeCapture, wait: Waits, clock: Callable[[], float] = lambda: 0.0
) -> LiveStream:
    found = Found("rtsp://me:secret@host/a", "a")
    return LiveStream(found, open_with=in_turn(*captures), wait=wait, clock=clock)


def test_a_stream_that_dies_reconnects_and_then_ends_with_a_message() -> None:
    waits = Waits()
    captures = (FakeCapture(grey(1, 2)), FakeCapture([], is_open=False), FakeCapture(grey(3)))
    stream = live(*captures, wait=waits)
    pictures = iter(stream)
    assert values(itertools.islice(pictures, 3)) == [1, 2, 3]
    with pytest.raises(UserError, match=f"broke off, and {RECONNECTS} attempts") as caught:
        next(pictures)
    assert waits == [1, 2, 1, 2, 4, 8, 16]
    assert "secret" not in str(caught.value)
    assert captures[0].was_released


def test_a_recording_at_an_address_just_ends() -> None:
    waits = Waits()
    stream = live(FakeCapture(grey(1, 2, 3), count=3), wait=waits)
    assert values(iter(stream)) == [1, 2, 3]
    assert waits == []


def test_a_stream_without_a_single_picture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "data.sources.batches.LiveStream",
        lambda found: LiveStream(found, open_with=in_turn(FakeCapture([], count=9))),
    )
    batches = batches_of(Sources(streams=(Found("http://host/a", "a"),)))
    assert list(batches) == []
    assert [skip.reason for skip in batches.skipped] == ["opens but gives no picture"]


def test_pictures_that_came_in_meanwhile_are_passed_over() -> None:
    moments = itertools.count(0.0, 0.25)
    pictures = FakeCapture(grey(*range(9)), rate=10)
    stream = live(pictures, wait=Waits(), clock=lambda: next(moments))
    seen = list(itertools.islice(iter(stream), 3))
    assert [int(picture[0, 0, 0]) for picture in seen] == [0, 3, 6]


def test_a_stream_that_is_not_there() -> None:
    with pytest.raises(UserError, match="rtsp://host/a: cannot be opened"):
        live(wait=Waits())


def test_a_stream_is_closed_when_nobody_wants_more() -> None:
    capture = FakeCapture(grey(1, 2, 3))
    pictures = iter(live(capture, wait=Waits()))
    next(pictures)
    pictures.close()
    assert capture.was_released


def test_a_stream_may_change_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture([*grey(1, 2), np.zeros((9, 5, 3), np.uint8)], count=3)
    monkeypatch.setattr(
        "data.sources.batches.LiveStream",
        lambda found: LiveStream(found, open_with=in_turn(capture)),
    )
    items = list(batches_of(Sources(streams=(Found("http://host/a", "a"),))))
    assert [[frame.size for frame in item.frames] for item in items] == [
        [(4, 6)],
        [(4, 6)],
        [(9, 5)],
    ]
    assert batches_of(Sources(streams=(Found("0", "a"),))).num_pictures() is None


def test_a_video_that_changes_its_size_is_cut_into_batches_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = [*grey(1), *[np.zeros((9, 5, 3), np.uint8)] * 3]
    monkeypatch.setattr(
        "data.sources.batches.VideoFile",
        lambda found: VideoFile(found, lambda _: FakeCapture(pictures)),
    )
    items = list(batches_of(Sources(videos=(Found("a.mp4", "a"),)), batch_size=2))
    assert [[frame.number for frame in item.frames] for item in items] == [[0], [1, 2], [3]]
    assert [item.frames[-1].size for item in items] == [(4, 6), (9, 5), (9, 5)]


def test_colours_of_a_capture_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((8, 8, 3), (0, 0, 255), np.uint8))
    capture = open_capture(str(path))
    assert capture.isOpened()
    capture.release()
    picture = np.full((4, 4, 3), (0, 0, 255), np.uint8)
    assert next(iter(live(FakeCapture([picture]), wait=Waits())))[0, 0].tolist() == [255, 0, 0]
