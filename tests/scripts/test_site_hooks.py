"""The site's links: to pages where there are some, to nowhere never."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.site_hooks import ROOT, on_page_content, on_page_markdown


def moved(text: str, page: str) -> str:
    return on_page_markdown(text, SimpleNamespace(file=SimpleNamespace(src_uri=page)))


@pytest.mark.parametrize(
    ("text", "page", "expected"),
    [
        ("[x](data.md#a)", "index.md", "[x](data.md#a)"),
        ("[x](../README.md#start)", "index.md", "[x](repository/README.md#start)"),
        ("[x](../../README.md)", "tutorials/onnx.md", "[x](../repository/README.md)"),
        ("[x](docs/losses.md)", "repository/README.md", "[x](../losses.md)"),
        ("[x](CHANGELOG.md)", "repository/README.md", "[x](CHANGELOG.md)"),
        ("[x](../train.py)", "index.md", "x"),
        ("[x](docs/results)", "repository/README.md", "x"),
        ("[x](https://a.b/c)", "index.md", "[x](https://a.b/c)"),
        ("[x](#here)", "index.md", "[x](#here)"),
    ],
)
def test_links_lead_to_pages_of_the_site_or_are_text(text: str, page: str, expected: str) -> None:
    assert moved(text, page) == expected


def test_formulas_are_markup_that_browsers_know() -> None:
    pytest.importorskip("latex2mathml")
    text = on_page_content('<p><span class="arithmatex">\\(p &lt; \\alpha^2\\)</span></p>')
    assert text.startswith("<p><math")
    assert "&lt;" in text or "&#x0003C;" in text
    assert "arithmatex" not in text


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert "<math" in (site / "formulas.html").read_text()
    assert "resume" in (site / "reference.html").read_text()
    for page in site.rglob("*.html"):
        assert 'src="http' not in page.read_text(encoding="utf-8"), page
