import multiprocessing
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from data.index_cache import CacheEntry, IndexCache, hash_files, hash_parts


def entry(value: int = 1, count: int = 50) -> CacheEntry:
    arrays = {"boxes": np.full((count, 4), value, np.float32), "none": np.zeros((0, 4), np.float32)}
    return CacheEntry(arrays=arrays, facts={"value": value, "paths": ["a\udcff.jpg"]})


def assert_equal(read: CacheEntry | None, written: CacheEntry) -> None:
    assert read is not None
    assert read.facts == written.facts
    assert read.arrays.keys() == written.arrays.keys()
    for name, array in written.arrays.items():
        assert read.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(read.arrays[name], array)


def test_round_trip(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path / "new" / "cache")
    cache.save("labels", "key", entry())
    assert_equal(cache.load("labels", "key"), entry())
    assert [path.name for path in (tmp_path / "new" / "cache").iterdir()] == ["labels.npz"]


def test_other_key_or_name_is_not_found(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path)
    cache.save("labels", "key", entry())
    assert cache.load("labels", "other") is None
    assert cache.load("images", "key") is None


def test_newer_entry_replaces_the_older(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path)
    cache.save("labels", "old", entry(1))
    cache.save("labels", "new", entry(2))
    assert cache.load("labels", "old") is None
    assert_equal(cache.load("labels", "new"), entry(2))


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path)
    cache.save("labels", "key", entry(count=2))
    path = tmp_path / "labels.npz"
    whole = path.read_bytes()
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 0x5A
        path.write_bytes(damaged)
        read = cache.load("labels", "key")
        if read is not None:  # the damage was where nothing is read, such as a time stamp
            assert_equal(read, entry(count=2))
    for length in range(0, len(whole), 31):
        path.write_bytes(whole[:length])
        assert cache.load("labels", "key") is None
    cache.save("labels", "key", entry())
    assert_equal(cache.load("labels", "key"), entry())


def test_pickles_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    cache = IndexCache(tmp_path)
    with pytest.raises(TypeError, match="pickled"):
        cache.save("labels", "key", CacheEntry(arrays={"x": objects}, facts={}))
    np.savez(tmp_path / "labels.npz", meta=objects)
    assert cache.load("labels", "key") is None


def test_folder_that_cannot_be_written_costs_only_the_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = IndexCache(tmp_path / "file" / "cache")
    cache.save("labels", "key", entry())
    assert "cannot be saved" in caplog.text
    assert cache.load("labels", "key") is None


def test_failed_write_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    cache = IndexCache(tmp_path)
    cache.save("labels", "key", entry())
    monkeypatch.setattr(np, "savez", fail)
    cache.save("labels", "new", entry(2))
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npz"]
    assert_equal(cache.load("labels", "key"), entry())


def test_full_disk_costs_only_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = IndexCache(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        cache.save("labels", "key", entry(count=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert "cannot be saved" in caplog.text
    assert list(tmp_path.iterdir()) == []


def _write_and_read(folder: Path, value: int, failures: "multiprocessing.Queue[str]") -> None:
    cache = IndexCache(folder)
    for _ in range(40):
        cache.save("labels", "key", entry(value, count=3000))
        read = cache.load("labels", "key")
        if read is None:
            failures.put("no entry")
        elif not (read.arrays["boxes"] == read.facts["value"]).all():
            failures.put("mixed entry")


def test_two_processes_write_and_read_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    failures: multiprocessing.Queue[str] = context.Queue()
    writers = [
        context.Process(target=_write_and_read, args=(tmp_path, value, failures))
        for value in (1, 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert failures.empty()
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npz"]


def test_user_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path / "here"))
    IndexCache.of_user().save("a", "key", entry())
    assert (tmp_path / "here" / "a.npz").is_file()
    monkeypatch.delenv("FOCALDET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    IndexCache.of_user().save("a", "key", entry())
    assert (tmp_path / "home" / ".cache" / "focaldet" / "a.npz").is_file()


def test_hash_tells_where_a_part_ends() -> None:
    assert hash_parts(("ab", "c")) != hash_parts(("a", "bc"))
    assert hash_parts(("a", b"b")) == hash_parts((b"a", "b"))
    assert hash_parts(()) != hash_parts(("",))


def test_hash_of_files_is_of_their_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert hash_files([tmp_path / "a"]) == hash_files([tmp_path / "b"])
    (tmp_path / "b").write_text("y")
    assert hash_files([tmp_path / "a"]) != hash_files([tmp_path / "b"])
    assert hash_files([tmp_path / "missing"]) == hash_parts([b""])
