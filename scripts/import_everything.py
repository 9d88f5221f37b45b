"""Import every module of the product: python scripts/import_everything.py [--hide NAME ...].

In an environment that contains only requirements.txt this shows that optional packages are imported
where they are used and nowhere else. `--hide` makes packages look absent where they are installed.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_PRODUCT = {"benchmarks", "examples", "scripts", "tests"}


def module_names(root: Path) -> list[str]:
    """Return the importable names of all modules of the product under `root`, sorted.

    These are the loose files of `root` and every package there but tests and development tools.
    """
    files = list(root.glob("*.py"))
    for package in root.iterdir():
        if (package / "__init__.py").is_file() and package.name not in NOT_PRODUCT:
            files += package.rglob("*.py")
    return sorted({module_name(path.relative_to(root)) for path in files})


def module_name(path: Path) -> str:
    """Return the dotted name of a file (relative to the root), a package for its `__init__`."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def failures(names: Sequence[str]) -> list[str]:
    """Import modules in order; return one line for each that cannot be imported."""
    found = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            found.append(f"{name}: {type(error).__name__}: {error}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Import everything, print what fails; return how the program should exit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the packages")
    parser.add_argument("--hide", nargs="*", default=[], help="packages that shall look absent")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(options.root))
    sys.modules.update(dict.fromkeys(options.hide))
    names = module_names(options.root)
    found = failures(names)
    for line in found:
        print(line)
    print(f"{len(names) - len(found)} of {len(names)} modules imported")
    return 1 if found or not names else 0


if __name__ == "__main__":
    sys.exit(main())
