"""The command line of check_data.py."""

from pathlib import Path

import pytest

from commands.check_data.cli import CheckCommand, parse_check_command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("my.yaml", CheckCommand(data="my.yaml")),
        ("data=my.yaml", CheckCommand(data="my.yaml")),
        (
            "my.yaml data.path=x --image-size 320 --labels-only --json j --page p --fix f",
            CheckCommand(
                data="my.yaml",
                overrides=("data.path=x",),
                image_size=320,
                labels_only=True,
                json=Path("j"),
                page=Path("p"),
                fix=Path("f"),
            ),
        ),
        (
            "--show s --show-images 3 bccd",
            CheckCommand(data="bccd", show=Path("s"), show_images=3),
        ),
        ("--get bccd --into d", CheckCommand(get="bccd", into=Path("d"))),
        ("--list", CheckCommand(list=True)),
    ],
)
def test_what_a_line_means(line: str, expected: CheckCommand) -> None:
    assert parse_check_command(line.split()) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "name a data set"),
        ("data.path=x", "name a data set"),
        ("a b", "one data set at a time"),
        ("a --get bccd", "take no data set"),
        ("--into d a", "--into belongs to --get"),
        ("a --image-size 0", "--image-size"),
        ("a --image-size x", "--image-size"),
        ("a --nonsense", "unrecognized"),
    ],
)
def test_wrong_lines_end_with_one_line(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_check_command(line.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
