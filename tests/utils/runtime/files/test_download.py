"""Downloads from a server that breaks, lies and redirects; nothing wrong gets the file's name."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.utils.runtime.file_server import Behaviour, Server, serve
from utils.runtime.errors import UserError
from utils.runtime.files import download as module
from utils.runtime.files.download import ATTEMPTS, RemoteFile, download, shown

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Behaviour(content=CONTENT)) as running:
        yield running


def no_sleep(seconds: float) -> None:
    assert 0 < seconds <= 30


def fetch(server: Server, target: Path, *paths: str, **facts: object) -> Path:
    urls = tuple(server.address + path for path in paths or ("/a.zip",))
    return download(RemoteFile(urls=urls, **facts), target, sleep=no_sleep)  # type: ignore[arg-type]


def test_a_file_arrives_whole_and_alone(server: Server, tmp_path: Path) -> None:
    target = fetch(server, tmp_path / "sub" / "a.zip", sha256=DIGEST, num_bytes=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    target.write_bytes(CONTENT)
    fetch(server, target, sha256=DIGEST)
    assert server.behaviour.seen == []
    target.write_bytes(b"mine")
    with pytest.raises(UserError, match="exists but has another SHA-256"):
        fetch(server, target, sha256=DIGEST)
    assert target.read_bytes() == b"mine"


def test_a_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.behaviour.break_after = [1000, 50_000]
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in server.behaviour.seen] == [
        None,
        "bytes=1000-",
        "bytes=51000-",
    ]
    assert [tag for _, _, tag in server.behaviour.seen] == [None, '"one"', '"one"']


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.behaviour.break_after = [1000] * ATTEMPTS
    with pytest.raises(UserError, match=f"{ATTEMPTS} attempts"):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    server.behaviour.seen.clear()
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.behaviour.seen[0][1] == f"bytes={1000 * ATTEMPTS}-"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.behaviour.break_after = [1000] * ATTEMPTS
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a")
    server.behaviour.content, server.behaviour.tag = CONTENT[::-1], '"two"'
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.behaviour.break_after, server.behaviour.knows_ranges = [1000], False
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_another_mirror_goes_on_only_if_a_checksum_would_notice(
    server: Server, tmp_path: Path
) -> None:
    for facts, wanted in (({"sha256": DIGEST}, "bytes=5000-"), ({}, None)):
        server.behaviour.seen.clear()
        server.behaviour.break_after = [5000, 0, 0, 0, 0]
        target = tmp_path / f"a{len(facts)}"
        assert fetch(server, target, "/one", "/two", **facts).read_bytes() == CONTENT
        assert next(seen for seen in server.behaviour.seen if seen[0] == "/two")[1] == wanted


def test_wrong_checksums_are_refused_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another SHA-256") as caught:
        fetch(server, tmp_path / "a", "/one", "/two", sha256="0" * 64)
    assert str(caught.value).count("SHA-256") == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expected", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_another_length_is_refused(
    expected: int, chunked: bool, server: Server, tmp_path: Path
) -> None:
    server.behaviour.chunked = chunked
    with pytest.raises(UserError, match="bytes"):
        fetch(server, tmp_path / "a", num_bytes=expected)
    assert not (tmp_path / "a").exists()


def test_a_length_that_is_longer_than_what_comes_is_a_broken_connection(
    server: Server, tmp_path: Path
) -> None:
    server.behaviour.stated_length = len(CONTENT) + 10
    server.behaviour.knows_ranges = False
    with pytest.raises(UserError, match="broke"):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_redirects_are_followed_with_the_range(server: Server, tmp_path: Path) -> None:
    server.behaviour.redirects = {"/a.zip": "/b.zip?token=SECRET"}
    server.behaviour.break_after = [1000]
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.behaviour.seen[-1][:2] == ("/b.zip?token=SECRET", "bytes=1000-")


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_redirects_lead_to_nothing_but_http(place: str, server: Server, tmp_path: Path) -> None:
    server.behaviour.redirects = {"/a.zip": place}
    with pytest.raises(UserError, match="redirect"):
        fetch(server, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_circle_of_redirects_ends(server: Server, tmp_path: Path) -> None:
    server.behaviour.redirects = {"/a.zip": "/b.zip", "/b.zip": "/a.zip"}
    with pytest.raises(UserError, match="cannot download"):
        fetch(server, tmp_path / "a")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://x/y", "http://[x", ""])
def test_only_web_addresses_are_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot download"):
        download(RemoteFile(urls=(url,)), tmp_path / "a", sleep=no_sleep)
    assert list(tmp_path.iterdir()) == []


def test_missing_files_are_not_asked_for_again_and_busy_servers_are(
    server: Server, tmp_path: Path
) -> None:
    server.behaviour.errors = {"/gone": [404], "/busy": [503, 500]}
    assert fetch(server, tmp_path / "a", "/gone", "/busy").read_bytes() == CONTENT
    assert [path for path, _, _ in server.behaviour.seen] == ["/gone", *["/busy"] * 3]


def test_a_part_beyond_the_end_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(CONTENT + b"more")
    assert fetch(server, tmp_path / "a", sha256=DIGEST).read_bytes() == CONTENT


def test_a_whole_part_whose_rename_was_missed_is_used(server: Server, tmp_path: Path) -> None:
    for part, wanted in ((CONTENT, []), (CONTENT[:-1], [f"bytes={len(CONTENT) - 1}-"])):
        server.behaviour.seen.clear()
        (tmp_path / "a").unlink(missing_ok=True)
        (tmp_path / "a.part").write_bytes(part)
        fetch(server, tmp_path / "a", sha256=DIGEST, num_bytes=len(CONTENT))
        assert [seen[1] for seen in server.behaviour.seen] == wanted


def test_secrets_in_addresses_are_never_told(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.behaviour.errors = {"/a": [503, 404]}
    secret = server.address.replace("//", "//user:PASSWORD@") + "/a?token=TOKEN#PART"
    with pytest.raises(UserError) as caught:
        download(
            RemoteFile(urls=(secret, "http://u:PASSWORD@[bad/?TOKEN")),
            tmp_path / "a",
            sleep=no_sleep,
        )
    said = str(caught.value) + caplog.text
    assert "127.0.0.1" in said
    assert not any(word in said for word in ("PASSWORD", "TOKEN", "PART", "user"))
    assert shown("https://u:p@host:81/x/y.zip?k=v#f") == "https://host:81/x/y.zip"


def test_a_full_disk_is_told_before(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(UserError, match="free"):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_two_downloads_of_one_file_do_not_mix(server: Server, tmp_path: Path) -> None:
    part = module._Part(tmp_path / "a")
    with part.locked(), pytest.raises(UserError, match="another process"):
        fetch(server, tmp_path / "a")


def test_a_proxy_of_the_environment_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    file = RemoteFile(urls=("http://data.example/set.zip",), sha256=DIGEST)
    assert download(file, tmp_path / "a", sleep=no_sleep).read_bytes() == CONTENT
    assert server.behaviour.seen[0][0] == "http://data.example/set.zip"


def test_an_interruption_keeps_what_was_received(server: Server, tmp_path: Path) -> None:
    server.behaviour.break_after = [1000]

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(RemoteFile(urls=(server.address + "/a",)), tmp_path / "a", sleep=interrupted)
    assert (tmp_path / "a.part").stat().st_size == 1000
    assert threading.active_count() < 20


def test_user_and_password_go_to_their_own_server_only(server: Server, tmp_path: Path) -> None:
    server.behaviour.redirects = {"/a": "/b"}
    url = server.address.replace("//", "//user:p%40ss@") + "/a"
    download(RemoteFile(urls=(url,)), tmp_path / "a", sleep=no_sleep)
    assert server.behaviour.authorizations == ["Basic dXNlcjpwQHNz", None]
