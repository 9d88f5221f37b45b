"""Command lines in the words of other detectors, and the line to type instead."""

import argparse
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from configs.origins import CONFIGS_FOLDER
from configs.schema.keys import ROOT, nearest_key
from configs.schema.known_words import hint_for

_VERBS = {"train", "val", "predict", "export", "detect"}
"""Words that name the program there."""
_VERB_KEYS = {"task", "mode"}
"""Settings that do."""
_OPTIONS = {
    "model": "--weights FILE",
    "include": "--format F",
    "out": "--output FOLDER",
    "project": "--save-dir FOLDER",
    "dry_run": "--preflight",
    "nosave": "--save none",
    "save_txt": "--save txt",
    "save_crop": "--save crops",
    "line_thickness": "--line-width N",
}
"""Words that are options in programs that have these."""
_PLACE = re.compile(r"(?<=[= ])(N|X|F|FILE|FOLDER|NAME|RUN)$")
_ONE_SETTING = re.compile(r"(--[a-z-]+( \w+)?|[a-z_.]+=\S+)")


@dataclass(frozen=True)
class _Program:
    options: Mapping[str, argparse.Action]
    sections: Collection[str]
    own_words: Collection[str]


@dataclass
class Translation:
    """A command line, word for word."""

    foreign: list[str] = field(default_factory=list)
    """Words that are none here, as written."""
    line: list[str] = field(default_factory=list)
    """What to type; without the words that `hints` and `unknown` are about."""
    hints: list[str] = field(default_factory=list)
    """What takes the place of words that no single word replaces."""
    unknown: list[str] = field(default_factory=list)
    """Options that nobody knows."""


def translate(
    arguments: Sequence[str],
    options: Mapping[str, argparse.Action],
    sections: Collection[str] = (),
    own_words: Collection[str] = (),
) -> Translation:
    """Return a command line with the words of other detectors replaced.

    Args:
        arguments: without the program's name.
        options: of the program, by their names with dashes.
        sections: of the settings that it takes; all where there are none.
        own_words: settings of the program that have no section.
    """
    program = _Program(options, sections, own_words)
    found, left = Translation(), list(arguments)
    while left:
        word = left.pop(0)
        if word.startswith("-") and word.partition("=")[0] in options:
            _keep_option(word, left, program, found)
        elif word.startswith("--"):
            _translate_option(word, left, program, found)
        elif "=" in word:
            _translate_setting(word, program, found)
        elif word == "resume" and "--resume" in options:
            _translate_setting("resume=true", program, found)
        elif word in _VERBS and not os.path.exists(word):
            found.foreign.append(word)
        else:
            _translate_bare(word, program, found)
    return found


def _keep_option(word: str, left: list[str], program: _Program, found: Translation) -> None:
    option, _, value = word.partition("=")
    takes_value = program.options[option].nargs != 0 and "=" not in word
    value = "".join(_taken_value(left)) if takes_value else value
    graph = value.removesuffix(".yaml")
    if option == "--cfg" and _is_graph(graph):
        found.foreign.append(f"--cfg {value}")
        found.line.append(f"model.graph={graph}")
    else:
        found.line += [word, value] if takes_value and value else [word]


def _is_graph(name: str) -> bool:
    """Tell whether a name is that of a shipped network and of nothing else."""
    shipped = CONFIGS_FOLDER / "models" / f"{name}.yaml"
    return bool(name) and "/" not in name and shipped.is_file() and not os.path.exists(name)


def _taken_value(left: list[str]) -> list[str]:
    return [left.pop(0)] if left and not left[0].startswith("--") else []


def _translate_option(word: str, left: list[str], program: _Program, found: Translation) -> None:
    name, _, value = word.lstrip("-").partition("=")
    name = name.replace("-", "_")
    here = _replacement(name, value or (left[0] if left else ""), program)
    if here is None:
        found.unknown.append(word)
        if left and "=" not in left[0]:
            _taken_value(left)
        return
    if left[:1] == [""] and not value:  # as in --weights '', which is from scratch
        left.pop(0)
        found.foreign.append(word)
        return
    if not value and (_PLACE.search(here) or not _ONE_SETTING.fullmatch(here)):
        value = "".join(_taken_value(left))
    found.foreign.append(word.partition("=")[0])
    _put(word, here, value, found)


def _translate_setting(word: str, program: _Program, found: Translation) -> None:
    name, _, value = word.partition("=")
    is_ours = (
        "." in name or name in program.own_words or (name in ROOT.key_names and name != "model")
    )
    own_option = f"--{name.replace('_', '-')}"
    if name in _VERB_KEYS:
        found.foreign.append(word)
    elif own_option in program.options and name != "resume":
        found.foreign.append(name)
        has_value = program.options[own_option].nargs != 0
        if has_value != (value.lower() in ("true", "false")):
            found.line += [own_option, *([value] if has_value else [])]
    else:
        here = None if is_ours or value.startswith("{") else _replacement(name, value, program)
        if here is None:
            found.line.append(word)  # what is wrong with it, the configuration says
            return
        found.foreign.append(name)
        _put(name, here, value, found)


def _translate_bare(word: str, program: _Program, found: Translation) -> None:
    """Put a file or folder without an option where the program takes one."""
    for option in ("--weights", "--source"):
        if option in program.options and option not in found.line and os.path.exists(word):
            found.foreign.append(word)
            found.line += [option, word]
            return
    found.line.append(word)


def _replacement(name: str, value: str, program: _Program) -> str | None:
    """Return what to write for a word, with a place for its value; None if there is nothing."""
    here = _anywhere(name, value, program)
    if here is None or not _ONE_SETTING.fullmatch(here):
        return here
    if here.startswith("--"):
        return here if here.partition(" ")[0] in program.options else None
    if "--weights" in program.options and here.startswith("train.precision"):
        return None  # weights that are trained have theirs
    section = re.split(r"[.=]", here, maxsplit=1)[0]
    return here if not program.sections or section in program.sections else None


def _anywhere(name: str, value: str, program: _Program) -> str | None:
    option = _OPTIONS.get(name)
    if option is not None and option.partition(" ")[0] in program.options:
        return option
    is_trainer = "--weights" not in program.options
    if name in ("batch", "batch_size"):
        return "train.batch_size=N" if is_trainer else "eval.batch_size=N"
    if name == "model":
        return "model.graph=NAME" if value.endswith((".yaml", ".yml")) else "model.weights=FILE"
    if name == "resume" and value.lower() in ("", "true", "1"):
        return "--resume last"
    known = hint_for(name)
    if known is not None:
        return re.sub(r"^data=.*", "data=FILE", known)
    nearest = nearest_key(name)
    is_same = nearest is not None and nearest.rpartition(".")[2] == name
    return f"{nearest}=X" if is_same else None


def _put(word: str, here: str, value: str, found: Translation) -> None:
    if not _ONE_SETTING.fullmatch(here):
        found.hints.append(f"for {word}: {here}")
    elif _PLACE.search(here) is None:
        if value.lower() not in ("false", "0"):
            found.line += here.split(" ")
    else:
        text = _PLACE.sub(lambda _: _spelled(here, value), here) if value else here
        found.line += text.split(" ", 1) if text.startswith("--") else [text]


def _spelled(here: str, value: str) -> str:
    if value == "-1" and here.startswith("train.batch_size="):
        return "auto"
    return value.lower() if here.startswith("train.optimizer.name=") else value
