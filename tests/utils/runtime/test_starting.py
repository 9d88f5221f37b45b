import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INTERRUPTING = """
import importlib.abc, os, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                if "SWALLOW" not in os.environ:
                    raise ImportError("half loaded") from None

sys.meta_path.insert(0, Interrupt())
"""
"""What compiled modules and libraries do with Ctrl-C: they fail in another way, or swallow it."""
PROGRAMS = {
    "train": ("--cfg", "configs/quickstart.yaml", "data.path=nowhere"),
    "val": ("--weights", "no.safetensors"),
    "predict": ("--weights", "no.safetensors", "--source", "nowhere"),
    "export": ("--weights", "no.safetensors", "--format", "onnx"),
    "compare": ("--cfg", "configs/compare/smoke.yaml"),
    "convert": ("--weights", "no.pt"),
    "calibrate": ("--weights", "no.safetensors", "--out", "x.safetensors"),
    "check_data": ("nowhere",),
    "list_runs": (),
}
WORDS = {"check_data": "check", "list_runs": "runs"}


def interrupted(
    module: str, *command: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(INTERRUPTING)
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        env={**os.environ, **environment, "INTERRUPT_AT": module, "PYTHONPATH": str(folder)},
    )


def require_quiet(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "program", [p if p == "train" else pytest.param(p, marks=pytest.mark.slow) for p in PROGRAMS]
)
def test_an_interrupted_import_ends_a_program_in_one_word(program: str, tmp_path: Path) -> None:
    script = (f"{program}.py", *PROGRAMS[program])
    require_quiet(interrupted("configs.errors", *script, folder=tmp_path))
    late = "commands.runs.run" if program == "list_runs" else "torch"
    require_quiet(interrupted(late, *script, folder=tmp_path))
    word = WORDS.get(program, program)
    console = ("-c", "from commands.console import main; main()", word, *PROGRAMS[program])
    for module in ("configs.errors", program, "commands.parser"):
        require_quiet(interrupted(module, *console, folder=tmp_path, SWALLOW="1"))


@pytest.mark.parametrize("name", [*(f"{program}.py" for program in PROGRAMS)])
def test_programs_import_nothing_before_interrupts_are_quiet(name: str) -> None:
    """Imports at the top and in `main` itself; torch is behind one of the latter."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    first = tree.body[1]
    assert ast.unparse(first) == "from utils.runtime import starting"
    main = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main")
    guarded = {
        imported
        for block in ast.walk(main)
        if isinstance(block, ast.With) and ast.unparse(block.items[0]) == "starting.importing()"
        for imported in block.body
    }
    imports = {n for n in ast.walk(main) if isinstance(n, ast.Import | ast.ImportFrom)}
    assert imports
    assert imports == guarded


@pytest.mark.slow
def test_only_the_first_of_several_processes_speaks(tmp_path: Path) -> None:
    done = interrupted("torch", "val.py", *PROGRAMS["val"], folder=tmp_path, RANK="1")
    assert (done.returncode, done.stderr) == (130, "")


def program(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program whose `main` has a body."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    (folder / "program.py").write_text(
        "from utils.runtime import starting\n"
        "import os, signal, sys, time\n"
        "from utils.runtime.command import run_command\n"
        f"def main():\n{lines}\n"
        "run_command(main, user_errors=(LookupError,))\n"
    )
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


PRESS = "os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (f"try: {PRESS}\nfinally: print('cleaned', flush=True)", 130, "cleaned\n"),
        (f"try: {PRESS}\nexcept KeyboardInterrupt: raise ImportError('torch._C')", 130, ""),
        (f"try: {PRESS}\nexcept KeyboardInterrupt: raise SystemError('no exception set')", 130, ""),
        # A callback prints an interrupt and goes on.
        (
            f"class Kept:\n    def __del__(self): {PRESS}\nkept = Kept()\ndel kept\ntime.sleep(20)",
            130,
            "",
        ),
        (f"with starting.importing():\n    try: {PRESS}\n    except BaseException: pass", 130, ""),
        (f"with starting.importing(): pass\ntry: {PRESS}\nfinally: print('kept')", 130, "kept\n"),
    ],
)
def test_a_running_program_cleans_up_and_ends_quietly(
    body: str, code: int, words: str, tmp_path: Path
) -> None:
    done = program(body, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, words, "interrupted\n")


def test_mistakes_without_an_interrupt_stay_what_they_are(tmp_path: Path) -> None:
    done = program("raise ImportError('half loaded')", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "half loaded" in done.stderr
    done = program("class A:\n    def __del__(self): raise ValueError('x')\nA()", tmp_path)
    assert done.returncode == 0
    assert "ValueError: x" in done.stderr


def test_an_interrupt_at_the_very_end_shows_nothing_of_the_interpreter(tmp_path: Path) -> None:
    done = program(f"import atexit\natexit.register(lambda: {PRESS})", tmp_path)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_the_end_of_a_program_is_whole_without_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """With torch the interpreter takes a second to take itself apart."""
    done = program(
        "import atexit, threading\n"
        "class Kept:\n"
        "    def __del__(self): print('taken apart', flush=True)\n"
        "starting.kept = Kept()\n"
        "def work(): time.sleep(0.2); print('thread', end=' ')\n"
        "threading.Thread(target=work).start()\n"
        "atexit.register(lambda: print('last', end=' '))\n"
        "print('first', end=' ')\n"
        "return 5",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "first thread last ", "")
    done = program("import atexit\natexit.register(lambda: 1 / 0)", tmp_path)
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_who_imports_a_program_keeps_its_own_signals() -> None:
    code = (
        "import signal\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "def load():\n    import train\n    return train\n"
        "starting = load().starting\n"
        "starting.begin_program()\n"
        "with starting.importing(): assert signal.getsignal(signal.SIGINT) is before\n"
        "assert signal.getsignal(signal.SIGINT) is before and not starting.was_interrupted()\n"
        "try: starting.end_program(7)\n"
        "except SystemExit as leaving: assert leaving.code == 7\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=250)


@pytest.mark.slow
def test_who_imports_the_package_keeps_its_own_signals() -> None:
    code = (
        "import signal\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "import utils.runtime.command, commands.train.start\n"
        "assert signal.getsignal(signal.SIGINT) is before\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=250)


@pytest.mark.slow
def test_an_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "sys.exit(subprocess.run([sys.executable, 'list_runs.py', '--help']).returncode)\n"
    )
    done = interrupted("commands.parser", "-c", code, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")
