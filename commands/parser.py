"""Argument parser of the entry points.

Settings are written `section.key=value`, any number of them, anywhere on the line. Wrong usage ends
the program with one line and exit code 2.
"""

import argparse
import importlib
import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from commands.foreign_words import translate
from commands.settings_help import WIDTH, SettingsHelp, sections_overview, topic_help
from configs.errors import ConfigError
from configs.reading.locate import best_weights

_SETTINGS = """\
settings, in the YAML or as section.key=value:
  base: one YAML or several to start from. A file overrides its bases, and the command line
  overrides all files. Unknown keys and keys without effect are errors."""
_MORE = """\
--help train.optimizer shows the keys of a section or group with meaning, range and default, --help
all shows every key."""


_RAISES: ContextVar[bool] = ContextVar("_RAISES", default=False)


@contextmanager
def wrong_usage_raises() -> Iterator[None]:
    """Let wrong usage raise ConfigError instead of ending the program: for callers in Python."""
    token = _RAISES.set(True)
    try:
        yield
    finally:
        _RAISES.reset(token)


def weights_file(text: str) -> Path:
    """Return the path of weights; the folder of a run stands for its best ones."""
    return best_weights(Path(text))


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that ends wrong usage with one line, and tells the version."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--version", action=_Version, nargs=0, help="show the version")

    def error(self, message: str) -> NoReturn:
        """End the program with one line.

        Raises:
            ConfigError: within `wrong_usage_raises`.
        """
        if _RAISES.get():
            raise ConfigError(message)
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class CommandParser(OneLineParser):
    """A parser that takes settings, too.

    Args:
        program: Name of the entry point.
        purpose: What it does, one sentence.
        sections: Sections of the settings that `--help` lists.
    """

    own_words: frozenset[str] = frozenset()
    """Settings without a section that the program has."""

    def __init__(self, program: str, purpose: str, sections: tuple[str, ...] = ()) -> None:
        # The command `focaldet` names itself and its first word there.
        by_command = sys.argv[0].startswith("focaldet ")
        super().__init__(
            prog=sys.argv[0] if by_command else program,
            description=textwrap.fill(purpose, WIDTH),
            allow_abbrev=False,
            formatter_class=SettingsHelp,
            add_help=False,
        )
        self._sections = sections
        self.add_argument(
            "-h",
            "--help",
            nargs="?",
            const="",
            action=_Help,
            metavar="SECTION",
            help="show this, or the settings of a section such as train.optimizer",
        )
        self.add_argument(
            "overrides",
            nargs="*",
            metavar="section.key=value",
            help="settings that override those of the file, with values as in YAML",
        )

    def format_help(self) -> str:
        """Return usage and options, then the sections; made when asked for, which is rare."""
        self.epilog = f"{_SETTINGS}\n\n{sections_overview(self._sections)}\n\n{_MORE}"
        return super().format_help()

    def help_on(self, topic: str) -> str:
        """Return what `--help TOPIC` shows.

        Raises:
            ConfigError: there is no such topic.
        """
        return topic_help(topic, self._sections) if topic else self.format_help()

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Read the command line, settings and options in any order.

        Raises:
            SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
        """
        if not (_RAISES.get() or {"-h", "--help", "--version"} & set(arguments)):
            self._refuse_foreign(arguments)
        known, rest = self.parse_known_intermixed_args(arguments)
        for argument in rest:
            self.error(f"unknown option {argument}")
        for override in known.overrides:
            if "=" not in override:
                self.error(f"cannot parse {override!r}{_option_hint(override)}")
        return known

    def _refuse_foreign(self, arguments: Sequence[str]) -> None:
        """Say what to type in the place of words that other detectors have."""
        found = translate(arguments, self._option_string_actions, self._sections, self.own_words)
        if not found.foreign:
            return
        words = ", ".join([*found.foreign, *found.unknown])
        starts = {"--cfg", "--resume"}
        named = [text for text in found.line if text.startswith("data") or text in starts]
        if starts <= set(self._option_string_actions) and not named:
            found.line.insert(0, "data=FOLDER")
        line = shlex.join([*self.prog.split(), *found.line])
        self.error("; ".join([f"unknown here: {words}", *found.hints, f"type {line}"]))


class _Version(argparse.Action):
    """Prints the version and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # In the installed package it is the package itself, in a checkout a module.
        name = __name__.rpartition("commands.")[0].rstrip(".") or "focaldet"
        package = importlib.import_module(name)
        sys.stdout.write(f"focaldet {package.__version__}\n")
        parser.exit()


class _Help(argparse.Action):
    """Prints help, on a section where one is named, and ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(parser, CommandParser)
        try:
            text = parser.help_on(str(values or ""))
        except ConfigError as error:
            parser.exit(2, f"{parser.prog}: {error}\n")
        sys.stdout.write(text.rstrip("\n") + "\n")
        parser.exit()


def _option_hint(argument: str) -> str:
    is_yaml = argument.endswith((".yaml", ".yml"))
    return (
        f"; did you mean --cfg {argument}?"
        if is_yaml
        else "; settings have the form section.key=value"
    )
