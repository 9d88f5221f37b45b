"""Every snippet of docs/python.md runs as it stands in the page, in order."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.mark.slow
def test_the_snippets_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {"numpy_or_path_or_pillow": np.full((60, 80, 3), 120, np.uint8)}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["run"].metrics["epoch"] == [1.0]
    assert names["exported"].is_file()
    assert (tmp_path / "found.png").is_file()
