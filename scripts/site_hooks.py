"""What mkdocs does beyond its plug-ins: links that leave docs/, and formulas without a script.

A page links to other files of the repository as a forge wants it. On the site the texts among them
are pages of their own below `repository/`, and what is no text is named without a link.
"""

import html
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/RESULTS.md")
LINK = re.compile(r"(?<!\!)\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the texts outside docs/ as pages."""
    from mkdocs.structure.files import File

    for name in TEXTS:
        files.append(File.generated(config, f"repository/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where their targets are on the site."""
    source = page.file.src_uri
    here = source.removeprefix("repository/") if source.startswith("repository/") else None
    own = posixpath.dirname(here if here is not None else f"docs/{source}")

    def moved(found: re.Match[str]) -> str:
        text, target, fragment = found.groups()
        place = posixpath.normpath(posixpath.join(own, target))
        return link_on_site(text, place, fragment or "", posixpath.dirname(source))

    return LINK.sub(moved, markdown)


def link_on_site(text: str, place: str, fragment: str, folder: str) -> str:
    """Return a link to the file `place` of the repository, from a page in `folder` of the site.

    What is no page and no picture of the site becomes its text.
    """
    inside = place.removeprefix("docs/") if place.startswith("docs/") else None
    if place in TEXTS:
        inside = f"repository/{place}"
    if inside is None or (place not in TEXTS and not (ROOT / place).is_file()):
        return text
    return f"[{text}]({posixpath.relpath(inside, folder or '.')}{fragment})"


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers render by themselves."""
    from latex2mathml.converter import convert

    def rendered(found: re.Match[str]) -> str:
        kind = "inline" if found[1] == "span" else "block"
        return str(convert(html.unescape(found[2]), display=kind))

    return FORMULA.sub(rendered, content)
