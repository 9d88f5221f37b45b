"""Every snippet of docs/python.md runs as it stands in the page, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.mark.slow
def test_the_snippets_of_the_page_run(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    program = "\n".join(
        [
            "import numpy as np",
            "numpy_or_path_or_pillow = np.full((60, 80, 3), 120, np.uint8)",
            *blocks,
            "assert run.metrics['epoch'] == [1.0]",
            "assert exported.is_file()",
        ]
    )
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "found.png").is_file()
