"""Every fault of JSON is one error."""

from pathlib import Path

import pytest

from utils.runtime.files.json_file import BrokenJsonError, parse_json, read_json_object


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[" * 100_000, b'{"a":' * 500 + b"1" + b"}" * 500, b"\xff", b"[NaN]",
        b"[-Infinity]", b"[" + b"1" * 5000 + b"]", b'{"a": 1} x', b"\x00",
    ],
)  # fmt: skip
def test_broken_text(text: bytes) -> None:
    with pytest.raises(BrokenJsonError, match=r"^x is not valid JSON: "):
        parse_json(text, source="x")


def test_what_is_whole_is_read() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, null]}', source="x") == {"a": [1, None]}
    assert parse_json("[" * 200 + "]" * 200, source="x")
    assert parse_json("[NaN]", source="x", allow_nan=True)[0] != 0


def test_an_object_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(BrokenJsonError, match="holds a list"):
        read_json_object(tmp_path / "a.json")
