"""The rules of the architecture, checked on the source itself."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = (
    "train",
    "val",
    "predict",
    "export",
    "compare",
    "check_data",
    "list_runs",
    "migrate",
    "convert",
    "calibrate",
    "focaldet",
)
UTILS = (
    "utils.checkpoint",
    "utils.comparison",
    "utils.engine",
    "utils.export",
    "utils.metrics",
    "utils.report",
    "utils.runtime",
    "utils.structures",
)
LAYERS: dict[str, frozenset[str]] = {
    "commands": frozenset({"configs", "data", "models", *UTILS}),
    "configs": frozenset(),
    "utils.runtime": frozenset(),
    "utils.structures": frozenset(),
    "utils.checkpoint": frozenset({"utils.runtime"}),
    "utils.metrics": frozenset({"utils.structures"}),
    "data": frozenset({"configs", "utils.structures", "utils.runtime"}),
    "models": frozenset({"configs", "utils.structures"}),
    "utils.engine": frozenset(
        {"configs", "utils.structures", "utils.metrics", "utils.checkpoint", "utils.runtime"}
    ),
    "utils.export": frozenset({"utils.structures", "utils.runtime"}),
    "utils.comparison": frozenset(
        {"configs", "utils.structures", "utils.metrics", "utils.runtime"}
    ),
    "utils.report": frozenset({"utils.structures", "utils.metrics"}),
}
"""Package -> packages of ours that it may import besides itself."""
TABLES_WITHOUT_TORCH = {"utils.export.formats"}
"""What command lines may read outside of configs; import nothing of ours or torch themselves."""
BANNED_NAMES = {"general", "misc", "helpers", "common", "util", "tools"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def sources() -> list[Path]:
    packages = ("commands", "configs", "data", "models", "utils")
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str | None:
    """Return the architectural package of a module of ours, None for foreign modules."""
    for package in LAYERS:
        if module == package or module.startswith(package + "."):
            return package
    return module if module.split(".")[0] in ENTRY_POINTS else None


def imported_modules(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def import_violations(module: str, nodes: Iterable[ast.AST]) -> list[str]:
    own = package_of(module)
    if own is None:
        return []
    found = []
    for imported in imported_modules(nodes):
        package = package_of(imported)
        if package is not None and package != own and package not in LAYERS[own]:
            found.append(f"{module} imports {imported}")
    return found


def test_import_direction() -> None:
    violations = []
    for path in sources():
        violations += import_violations(module_name(path), nodes_of(path))
    assert violations == []


def test_import_rule_notices_a_shortcut() -> None:
    shortcut = ast.walk(ast.parse("def f():\n    from data.loading.loader import TrainBatches"))
    assert import_violations("models.neck", shortcut) == ["models.neck imports data.loading.loader"]
    assert import_violations("utils.engine.x", ast.walk(ast.parse("import train"))) != []


def test_utils_holds_only_subpackages_with_a_charter() -> None:
    loose = [path.name for path in (ROOT / "utils").glob("*.py") if path.name != "__init__.py"]
    assert loose == []
    for package in (path for path in (ROOT / "utils").iterdir() if (path / "__init__.py").exists()):
        charter = ast.get_docstring(tree_of(package / "__init__.py"))
        assert charter, f"{package.name} has no charter"
        assert f"utils.{package.name}" in LAYERS, f"{package.name} is not in the architecture"


def test_no_banned_module_names() -> None:
    assert [str(path) for path in sources() if path.stem in BANNED_NAMES] == []


def test_files_and_functions_are_short() -> None:
    long = []
    for path in sources():
        text = path.read_text()
        if len(text.splitlines()) > MAX_FILE_LINES:
            long.append(f"{module_name(path)}: {len(text.splitlines())} lines")
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    long.append(f"{module_name(path)}.{node.name}: {length} lines")
    assert long == []


def test_configs_does_not_import_torch() -> None:
    for path in (ROOT / "configs").rglob("*.py"):
        assert "torch" not in {name.split(".")[0] for name in imported_modules(nodes_of(path))}, (
            path
        )


def test_pickle_is_imported_nowhere() -> None:
    for path in sources():
        names = set(imported_modules(nodes_of(path)))
        assert not names & {"pickle", "_pickle", "dill", "joblib", "marshal", "shelve"}, path


def test_our_packages_are_named_in_from_imports_only() -> None:
    """What builds the wheel moves those below one name, `import models` it cannot (setup.py)."""
    packages = {path.relative_to(ROOT).parts[0] for path in sources()}
    assert len(packages) == 5
    for path in sources():
        for node in nodes_of(path):
            if isinstance(node, ast.Import):
                assert not packages & {alias.name.partition(".")[0] for alias in node.names}, path


SIDE_EFFECTS = """
import importlib, os, sys, random
import cv2, numpy, torch, torch._inductor.config, torchvision
def state():
    return (dict(os.environ), torch.get_num_threads(), torch.get_default_dtype(),
            torch.initial_seed(), random.getstate(), cv2.getNumThreads(),
            torch.are_deterministic_algorithms_enabled(), numpy.get_printoptions())
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert state() == before, "importing changed the process"
print("unchanged")
"""


@pytest.mark.slow
def test_importing_changes_nothing() -> None:
    modules = [module_name(path) for path in sources()]
    result = subprocess.run(
        [sys.executable, "-c", SIDE_EFFECTS, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "unchanged", result.stderr[-2000:]


def test_docstrings_of_functions_on_tensors_state_shapes() -> None:
    """A public function with a Tensor argument says the shape of something, in parentheses."""
    silent = []
    for path in sources():
        for node in nodes_of(path):
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            if node.col_offset:
                continue  # a method may rely on the docstring of its class
            annotations = [ast.unparse(a.annotation) for a in node.args.args if a.annotation]
            takes_tensor = any(text == "Tensor" for text in annotations)
            docstring = ast.get_docstring(node) or ""
            if takes_tensor and "(" not in docstring:
                silent.append(f"{module_name(path)}.{node.name}")
    assert silent == []


def test_command_lines_do_not_import_torch() -> None:
    """`--help` and wrong usage are answered in milliseconds."""
    names = ("parser", "view_options", "settings_help", "foreign_words")
    shared = [ROOT / "commands" / f"{name}.py" for name in names]
    allowed = {module_name(path) for path in shared}
    packages = (ROOT / "commands").rglob("__init__.py")
    command_lines = [*shared, *(ROOT / "commands").rglob("cli.py"), *packages]
    assert len(command_lines) > 15
    command_lines += [ROOT / f"{name.replace('.', '/')}.py" for name in TABLES_WITHOUT_TORCH]
    for path in command_lines:
        for name in imported_modules(nodes_of(path)):
            if name in TABLES_WITHOUT_TORCH:
                continue
            assert name.split(".")[0] not in {"torch", "data", "models", "utils"}, path
            assert not name.startswith("commands") or name in allowed, path


def room_of(module: str, *, is_package: bool) -> str:
    """Return the folder of a module; what lies loose at the top of a package is its own room."""
    return module if is_package or module.count(".") == 1 else module.rpartition(".")[0]


def room_arrows() -> dict[str, set[str]]:
    """Return the rooms that each room imports; what `__init__.py` hands on does not count.

    A room and a room within it are read together.
    """
    packages = {module_name(path) for path in sources() if path.name == "__init__.py"}
    modules = {module_name(path) for path in sources()}
    arrows: dict[str, set[str]] = {}
    for path in sources():
        if path.name == "__init__.py":
            continue
        module = module_name(path)
        room = room_of(module, is_package=False)
        for node in nodes_of(path):
            if not isinstance(node, ast.ImportFrom) or node.module not in modules:
                continue
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                target = name if name in modules else node.module
                other = room_of(target, is_package=target in packages)
                if not f"{other}.".startswith(f"{room}.") and not f"{room}.".startswith(
                    f"{other}."
                ):
                    arrows.setdefault(room, set()).add(other)
    return arrows


def test_rooms_form_no_circle() -> None:
    """Rooms can be read one after the other: each imports only what stands before it."""
    arrows = room_arrows()
    assert len(arrows) > 20
    left = {*arrows, *(other for others in arrows.values() for other in others)}
    while left:
        free = {room for room in left if not arrows.get(room, set()) & left}
        assert free, f"these rooms import each other: {sorted(left)}"
        left -= free
