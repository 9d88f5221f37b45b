"""What texts point to exists: documents, their sections, files of the repository.

A source in code is a paper, a public issue or a document here; never a file that a reader of a
clone cannot open.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ".txt", ".jinja", ".html", ""}
BUILT = {"mkdocs.yml", "site_hooks.py", "test_site_hooks.py"}
"""What speaks of pages of the site, whose links `mkdocs build --strict` checks."""
ABSENT = {"runs", "datasets", "build", "dist", "node_modules", "shared"}
"""Folders that git ignores, beside hidden ones."""
ROOMS = "benchmarks|commands|configs|data|docs|examples|models|scripts|tests|utils"
OWN_FILE = re.compile(rf"(?<![\w/.~-])(?:{ROOMS})/[\w./*-]+\.(?:py|md|yaml|npz|svg)(?![\w-])")
DOCUMENT = re.compile(r"(?<![\w/:.{}*-])((?:[\w.-]+/)*[\w-]+\.md)(#[\w-]+)?(?![\w-])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FOREIGN = re.compile(
    r"\b(?:SPEC|HOUSE|PEERS|FAULTS)(?:-MODERN)?\b"
    r"|\b(?:DESIGN|STYLE|FIELD|UX|DEPENDENCIES)(?:\.md|,? (?:section )?\d| section)"
)
"""Working papers that are no part of the repository. Capitals alone name constants in tests."""


@cache
def texts() -> tuple[Path, ...]:
    return tuple(sorted(_texts(ROOT)))


def _texts(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name == ".github" or not (path.name.startswith(".") or path.name in ABSENT):
                yield from _texts(path)
        elif path.name in BUILT:
            continue
        elif path.suffix in TEXTS and path != Path(__file__) and "results" not in path.parts:
            yield path


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchor_of(heading: str) -> str:
    """Return the fragment that forges give a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


@cache
def anchors(document: Path) -> frozenset[str]:
    outside_code = re.sub(r"^```.*?^```", "", read(document), flags=re.DOTALL | re.MULTILINE)
    times: Counter[str] = Counter()
    found = []
    for heading in re.findall(r"^#{1,6} +(.+)$", outside_code, flags=re.MULTILINE):
        anchor = anchor_of(heading)
        found.append(f"{anchor}-{times[anchor]}" if times[anchor] else anchor)
        times[anchor] += 1
    return frozenset(found)


def missing_target(source: Path, target: str, folders: tuple[Path, ...]) -> str | None:
    """Return what is wrong with a pointer of `source`, None where it can be followed."""
    name, _, fragment = target.partition("#")
    found = [folder / name for folder in folders if (folder / name).exists()] if name else [source]
    if not found:
        return f"{place(source)}: {target} does not exist"
    if fragment and fragment not in anchors(found[0]):
        return f"{place(source)}: {name or place(source)} has no section #{fragment}"
    return None


def problems_of_links(document: Path) -> list[str]:
    targets = [link for link in LINK.findall(read(document)) if "://" not in link]
    found = [missing_target(document, link, (document.parent,)) for link in targets]
    return [problem for problem in found if problem]


def problems_of_citations(source: Path, text: str) -> list[str]:
    found = [
        missing_target(source, name + fragment, (source.parent, ROOT, *homes(name)))
        for name, fragment in DOCUMENT.findall(text)
    ]
    return [problem for problem in found if problem]


def homes(name: str) -> list[Path]:
    """Return the folders of documents of a bare name, as programs that write them state it."""
    return [] if "/" in name else [path.parent for path in texts() if path.name == name]


def problems_of_paths(text: str) -> list[str]:
    return [path for path in OWN_FILE.findall(text) if not list(ROOT.glob(path))]


def test_every_link_of_a_document_leads_somewhere() -> None:
    documents = [path for path in texts() if path.suffix == ".md"]
    assert len(documents) > 10
    assert [problem for path in documents for problem in problems_of_links(path)] == []


def test_every_cited_document_and_section_exists() -> None:
    found = [problem for path in texts() for problem in problems_of_citations(path, read(path))]
    assert found == []


def test_every_file_that_a_document_names_exists() -> None:
    documents = [path for path in texts() if path.suffix == ".md"]
    found = {place(path): problems_of_paths(read(path)) for path in documents}
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_no_text_points_outside_the_repository() -> None:
    found = [
        f"{place(path)}: {pointer[0]}"
        for path in texts()
        for pointer in FOREIGN.finditer(read(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "as published (SPEC 2B.7)",
        "see DESIGN.md",
        "DESIGN section 4",
        "STYLE 7 asks for it",
        "SPEC-MODERN 1.3",
    ],
)
def test_pointers_to_working_papers_are_noticed(text: str) -> None:
    assert FOREIGN.search(text)


@pytest.mark.parametrize("text", ['DESIGN = """', "--cfg DESIGN.yaml", "STYLE = 1", "SPECIAL"])
def test_other_capitals_are_not(text: str) -> None:
    assert not FOREIGN.search(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("docs/nothing.md", "docs/nothing.md does not exist"),
        ("(docs/losses.md#no-such-loss)", "docs/losses.md has no section #no-such-loss"),
        ("docs/losses.md#focal and README.md.", None),
    ],
)
def test_broken_citations_are_noticed(text: str, problem: str | None) -> None:
    found = problems_of_citations(ROOT / "train.py", text)
    assert found == ([] if problem is None else [f"train.py: {problem}"])


def test_missing_files_are_noticed() -> None:
    assert problems_of_paths("`data/nowhere.py` and tests/test_documents.py") == ["data/nowhere.py"]


def test_anchors_are_those_of_forges() -> None:
    assert anchor_of("Why `fl_gamma` disappointed you") == "why-fl_gamma-disappointed-you"
    assert anchor_of("The trap, and the way out!") == "the-trap-and-the-way-out"


def test_every_document_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {
        (index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(read(index))
    }
    documents = {path for path in (ROOT / "docs").rglob("*.md") if path != index}
    assert sorted(place(path) for path in documents - linked) == []
    assert "docs/index.md" in read(ROOT / "README.md")
