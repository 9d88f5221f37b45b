"""Argument parser of the entry points.

Settings are written `section.key=value`, any number of them, anywhere on the line. Wrong usage ends
the program with one line and exit code 2.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

from commands.settings_help import SettingsHelp, sections_overview, topic_help
from configs.errors import ConfigError
from configs.reading.locate import best_weights
from configs.schema.keys import nearest_key
from configs.schema.known_words import hint_for

_SETTINGS = """\
settings, in the YAML or as section.key=value:
  base: names one YAML or several whose settings the file changes; what a file sets overrides
  its bases, the command line before all files. Unknown keys and keys without effect are errors."""
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
    """An argument parser that ends wrong usage with one line."""

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

    def __init__(self, program: str, purpose: str, sections: tuple[str, ...] = ()) -> None:
        # The command `focaldet` names itself and its first word there.
        by_command = sys.argv[0].startswith("focaldet ")
        super().__init__(
            prog=sys.argv[0] if by_command else program,
            description=purpose,
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
            help="settings that override the file's; the value is YAML",
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
        known, rest = self.parse_known_intermixed_args(arguments)
        for argument in rest:
            self.error(f"unknown option {argument}{_setting_hint(argument)}")
        for override in known.overrides:
            if "=" not in override:
                self.error(f"cannot parse {override!r}{_option_hint(override)}")
        return known


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


def _setting_hint(argument: str) -> str:
    name = argument.lstrip("-").partition("=")[0].replace("-", "_")
    known = hint_for(name)
    if known is not None:
        return f"; here that is {known}"
    nearest = nearest_key(name)
    return f"; settings are written without dashes: {nearest}=..." if nearest else ""
