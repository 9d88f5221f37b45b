import io
import logging
import sys
from collections.abc import Iterator

import pytest

from utils.runtime.progress import format_duration, progress_bar, start_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (3600, "1:00:00"),
        (90061, "25:01:01"),
        (-3, "0:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_bar_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar("epoch 2/3", total=10, initial=4) as bar:
            bar.set_postfix_str("box 0.1", refresh=True)
        text = stream.getvalue()
        assert ("epoch 2/3" in text) is shown
        assert ("4/10" in text) is shown
        assert ("box 0.1" in text) is shown


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_log_lines_are_bare_and_warnings_marked_once(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging()
    start_logging()
    logging.getLogger("utils.engine").info("epoch 1/3")
    logging.getLogger("utils.engine").warning("file is damaged")
    logging.getLogger("utils.engine").debug("detail")
    assert capsys.readouterr().err == "epoch 1/3\nwarning: file is damaged\n"
