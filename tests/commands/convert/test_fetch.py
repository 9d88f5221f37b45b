"""Weights by name from a server on loopback that breaks, lies and redirects."""

import hashlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from commands.build.detector import origin_line
from commands.convert.cli import ConvertCommand, parse_convert_command
from commands.convert.fetch import fetch_weights
from commands.weights_by_name import find_weights_file, list_weights, weights_folders
from configs.errors import ConfigError
from tests.commands.tiny_weights import write_weights
from tests.published_files import NAME, write_catalogue
from tests.utils.runtime.file_server import Behaviour, serve
from utils.checkpoint.weights import load_weights
from utils.runtime.errors import UserError
from utils.runtime.files import download

FILE = "helmets_n.safetensors"
GET = ConvertCommand(get=NAME)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_weights(tmp_path_factory.mktemp("origin") / FILE).read_bytes()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, which a site has set."""
    monkeypatch.setenv("FOCALDET_WEIGHTS", str(tmp_path / "site"))
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return tmp_path / "site"


@pytest.mark.slow
def test_a_broken_download_goes_on_and_ends_as_our_file_with_its_origin(
    site: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serve(Behaviour(content=content, break_after=[1000, 5000])) as server:
        write_catalogue(site, server.address, content)
        with pytest.raises(UserError, match="is not on this machine"):
            find_weights_file(NAME)
        lines = fetch_weights(GET)
        assert [wanted for _, wanted, _ in server.behaviour.seen] == [
            None,
            "bytes=1000-",
            "bytes=6000-",
        ]
        assert find_weights_file(NAME) == site / f"{NAME}.safetensors"
        asked = len(server.behaviour.seen)
        assert "already present" in fetch_weights(GET)[0]
        assert len(server.behaviour.seen) == asked
    assert sorted(path.name for path in site.iterdir()) == [
        "catalogue.yaml",
        f"{NAME}.safetensors",
    ]
    assert lines[-1] == f"fine-tune it: python train.py data=FOLDER model.weights={NAME}"
    source = load_weights(find_weights_file(NAME))[1]["converted_from"]
    digest = hashlib.sha256(content).hexdigest()
    assert (source["file"], source["sha256"], source["licence"]) == (FILE, digest, "MIT")
    line = origin_line({"converted_from": source})
    assert line is not None
    for part in (NAME, FILE, digest[:12], "licence MIT", "https://example.org/helmets", "RGB 0..1"):
        assert part in line
    said = caplog.text
    assert "licence MIT" in said
    assert "photographs of our own" in said
    assert "as stated" in said


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"sha256": "0" * 8}, "SHA-256"),
        ({"bytes": 17}, "expected are 17"),
    ],
)
def test_a_wrong_file_is_refused_and_leaves_nothing(
    changes: dict[str, object], why: str, site: Path, content: bytes
) -> None:
    with serve(Behaviour(content=content)) as server:
        write_catalogue(site, server.address, content, **changes)
        with pytest.raises(UserError, match=why):
            fetch_weights(GET)
    assert [path.name for path in site.iterdir()] == ["catalogue.yaml"]


def test_a_server_that_states_another_length_is_refused(site: Path, content: bytes) -> None:
    plan = Behaviour(content=content, stated_length=len(content) + 5)
    with serve(plan) as server:
        write_catalogue(site, server.address, content)
        with pytest.raises(UserError, match="expected are"):
            fetch_weights(GET)
    assert [path.name for path in site.iterdir()] == ["catalogue.yaml"]


def test_leading_digits_of_the_checksum_are_enough(site: Path, content: bytes) -> None:
    with serve(Behaviour(content=content)) as server:
        digits = hashlib.sha256(content).hexdigest()[:8]
        write_catalogue(site, server.address, content, sha256=digits, bytes=None)
        fetch_weights(GET)
    assert find_weights_file(NAME).is_file()


def test_without_a_stated_checksum_it_is_printed(
    site: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(Behaviour(content=content)) as server:
        write_catalogue(site, server.address, content, sha256=None)
        fetch_weights(GET)
    digest = hashlib.sha256(content).hexdigest()
    assert f"SHA-256 {digest}" in caplog.text
    assert "states none" in caplog.text


def test_redirects_and_further_addresses_are_followed(site: Path, content: bytes) -> None:
    plan = Behaviour(
        content=content, redirects={"/moved": "/here"}, errors={f"/gone/{FILE}": [404]}
    )
    with serve(plan) as server:
        urls = [f"{server.address}/gone/{FILE}", f"{server.address}/moved"]
        write_catalogue(site, server.address, content, urls=urls)
        fetch_weights(GET)
        assert [path for path, _, _ in plan.seen][-3:] == [f"/gone/{FILE}", "/moved", "/here"]


def test_a_mirror_stands_for_the_publisher(site: Path, content: bytes, tmp_path: Path) -> None:
    write_catalogue(site, "http://127.0.0.1:9", content)
    with serve(Behaviour(content=content)) as server:
        fetch_weights(ConvertCommand(get=NAME, mirror=f"{server.address}/pool/", into=tmp_path))
        assert [path for path, _, _ in server.behaviour.seen] == [f"/pool/{FILE}"]
    assert (tmp_path / f"{NAME}.safetensors").is_file()
    share = tmp_path / "share"
    share.mkdir()
    with pytest.raises(UserError, match=f"holds no file {FILE}"):
        fetch_weights(ConvertCommand(get=NAME, mirror=str(share)))
    (share / FILE).write_bytes(content[:-1])
    with pytest.raises(UserError, match="exists but"):
        fetch_weights(ConvertCommand(get=NAME, mirror=str(share)))
    (share / FILE).write_bytes(content)
    fetch_weights(ConvertCommand(get=NAME, mirror=str(share)))
    assert (share / FILE).read_bytes() == content
    assert find_weights_file(NAME).is_file()


def test_a_proxy_of_the_environment_is_asked(
    site: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(Behaviour(content=content)) as server:
        write_catalogue(site, "http://weights.invalid", content)
        monkeypatch.setenv("http_proxy", server.address)
        fetch_weights(GET)
        asked = [path for path, _, _ in server.behaviour.seen]
    assert asked == [f"http://weights.invalid/{FILE}"]


def test_a_published_file_that_lies_there_is_converted_without_network_and_stays(
    site: Path, content: bytes
) -> None:
    write_catalogue(site, "http://127.0.0.1:9", content)
    (site / FILE).write_bytes(content)
    fetch_weights(GET)
    assert (site / FILE).read_bytes() == content
    assert find_weights_file(NAME).is_file()


@pytest.mark.slow
def test_a_file_that_holds_no_weights_of_ours_leaves_nothing_under_the_name(
    site: Path, content: bytes
) -> None:
    broken = content[:-100] + bytes(100)
    for given in (broken, b"not weights"):
        with serve(Behaviour(content=given)) as server:
            address = f"{server.address}/{NAME}.safetensors"  # published under the very name
            write_catalogue(site, "", given, urls=[address])
            with pytest.raises(UserError):
                fetch_weights(GET)
        assert [path.name for path in site.iterdir()] == ["catalogue.yaml"]


def test_another_folder_says_how_it_is_found(site: Path, content: bytes, tmp_path: Path) -> None:
    with serve(Behaviour(content=content)) as server:
        write_catalogue(site, server.address, content)
        lines = fetch_weights(ConvertCommand(get=NAME, into=tmp_path / "elsewhere"))
    assert any(f"FOCALDET_WEIGHTS={tmp_path / 'elsewhere'}" in line for line in lines)


def test_unknown_names_get_the_nearest(site: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'yolox-tiny'"):
        fetch_weights(ConvertCommand(get="YOLOX-tinny"))
    with pytest.raises(UserError, match="did you mean 'yolox-tiny'"):
        find_weights_file("yolox-tinny")
    assert find_weights_file("my_weights") == Path("my_weights")
    assert find_weights_file(str(tmp_path / "yolox-tiny")) == tmp_path / "yolox-tiny"


def test_a_name_that_was_not_fetched_says_address_size_licence_and_command(site: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_weights_file("yolox-tiny")
    text = str(caught.value)
    for part in (
        "python convert.py --get yolox-tiny",
        "40.8 MB",
        "Apache-2.0",
        "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_tiny.pth",
        *map(str, weights_folders()),
    ):
        assert part in text
    assert "\n" not in text


def test_what_is_set_goes_before_the_cache_and_files_before_names(
    site: Path, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache = tmp_path / "cache" / "weights" / "yolox-tiny.safetensors"
    in_cache.parent.mkdir(parents=True)
    in_cache.write_bytes(content)
    assert find_weights_file("yolox-tiny") == in_cache
    site.mkdir()
    (site / "yolox-tiny.safetensors").write_bytes(content)
    assert find_weights_file("yolox-tiny") == site / "yolox-tiny.safetensors"
    monkeypatch.chdir(tmp_path)
    Path("yolox-tiny").write_bytes(content)
    assert find_weights_file("yolox-tiny") == Path("yolox-tiny")


def test_the_list_shows_licence_parameters_ap_size_and_what_is_here(
    site: Path, content: bytes
) -> None:
    site.mkdir()
    (site / "yolox-s.safetensors").write_bytes(content)
    lines = {line.split()[0]: line for line in list_weights()}
    for part in ("8.97 M", "40.5", "640 px", "72.1 MB", "Apache-2.0", "Megvii", f"in {site}"):
        assert part in lines["yolox-s"]
    assert "not given" in lines["yolov9-t"]
    assert f"in {site}" not in lines["yolox-tiny"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mirror", "http://x", "--list"],
        ["--into", "x", "--weights", "n.pt"],
        ["--get", "x", "--out", "y"],
        ["--get", "x", "--weights", "n.pt"],
        ["--list", "--get", "x"],
        ["--get", "x", "--to", "coco"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_convert_command(arguments)
    assert caught.value.code == 2


def test_the_command_line_reaches_the_command() -> None:
    command = parse_convert_command(["--get", "a", "--mirror", "m", "--into", "f"])
    assert (command.get, command.mirror, command.into) == ("a", "m", Path("f"))
    assert parse_convert_command(["--list"]).list


@pytest.mark.parametrize("said", [None, "x", {}, {"file": 3}, [1]])
def test_metadata_that_say_nothing_of_an_origin_give_no_line(said: object) -> None:
    assert origin_line({"converted_from": said}) is None
    assert origin_line({}) is None


def test_lines_of_an_origin_hold_no_control_characters() -> None:
    line = origin_line({"converted_from": {"file": "a\x1b[2Jb\n" * 99, "licence": "MIT"}})
    assert line is not None
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.slow
def test_torch_is_not_needed_to_list(site: Path) -> None:
    code = (
        "import commands.weights_by_name as m, sys; m.list_weights(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
