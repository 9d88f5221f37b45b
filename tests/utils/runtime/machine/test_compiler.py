import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import utils.runtime.machine.compiler as compiler_module
from utils.runtime.errors import UserError
from utils.runtime.machine.compiler import (
    EXACT_OPTION,
    GRAPHS_OPTION,
    compiler_name,
    compiling,
    require_compiler,
)

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[4]


def test_without_a_compiler_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(UserError, match="there is no no-such-compiler here; install it") as caught:
        require_compiler(CPU)
    assert "\n" not in str(caught.value)
    assert "train.compile=off" in str(caught.value)


def test_the_compiler_is_the_one_torch_would_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.delenv("CXX", raising=False)
    assert compiler_name() == str(config.cpp.cxx[-1])


def test_other_devices_are_refused() -> None:
    with pytest.raises(UserError, match="works on cpu and cuda, not on mps"):
        require_compiler(torch.device("mps"))


def test_a_torch_whose_code_varies_is_refused_where_exactness_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch._inductor

    monkeypatch.setattr(torch._inductor, "list_options", lambda: ["triton.cudagraphs"])
    with pytest.raises(UserError, match=r"resumed training would not be exact; .*deterministic=fa"):
        require_compiler(torch.device("cuda"), is_exact=True)


def test_torch_knows_the_options_by_these_names() -> None:
    import torch._inductor

    options = set(torch._inductor.list_options())
    assert GRAPHS_OPTION in options
    # Older versions have no such option, and are refused where it is needed.
    assert EXACT_OPTION in options or torch.__version__ < "2.10"


def test_of_a_long_message_the_compilers_complaint_is_told() -> None:
    from torch._inductor.exc import CppCompileError

    complaint = "x.cpp:3:10: fatal error: Python.h: No such file"
    output = f"RuntimeError: C++ compile error\nIn file included from x.cpp:2\n{complaint}\nEnd"
    with (
        pytest.raises(UserError, match=f"compile x: {complaint}; "),
        compiling("x"),
    ):
        raise CppCompileError(["g++", "x.cpp"], output)


def test_other_errors_are_none_of_the_compilers() -> None:
    with pytest.raises(ValueError, match="mine"), compiling("x"):
        raise ValueError("mine")


@pytest.mark.slow
def test_the_small_function_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class TriedError(Exception):
        pass

    def sample(x: torch.Tensor) -> torch.Tensor:
        raise TriedError

    monkeypatch.setattr(compiler_module, "_sample", sample)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(TriedError):
        require_compiler(CPU)


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "is_good"), [("g++", True), ("false", False)])
def test_a_compiler_that_does_not_work_is_one_line(
    compiler: str, is_good: bool, tmp_path: Path
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    program = (
        "import torch; from utils.runtime.machine.compiler import require_compiler; "
        "from utils.runtime.command import run_command; from utils.runtime.errors import UserError;"
        "run_command(lambda: require_compiler(torch.device('cpu')), user_errors=(UserError,))"
    )
    done = subprocess.run(  # not a fork, which may know of a compiler already
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "CXX": compiler, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == (0 if is_good else 2), done.stderr
    assert len(errors) == (0 if is_good else 1), done.stderr
    assert "Traceback" not in done.stderr
