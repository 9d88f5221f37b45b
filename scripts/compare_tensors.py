"""Compare the tensors of two files bit by bit: python scripts/compare_tensors.py A B.

For changes that must not change a number (CONTRIBUTING.md): metadata, such as folders and times,
may differ, tensors may not. The exit code is 1 where they do.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def differences(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield one line for each name whose tensors are not the same bits, in order of name."""
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            yield f"{name}: only in {'the first' if name in before else 'the second'} file"
            continue
        first, second = before[name], after[name]
        if (first.dtype, first.shape) != (second.dtype, second.shape):
            yield f"{name}: {_kind(first)} and {_kind(second)}"
        elif not torch.equal(_bits(first), _bits(second)):
            yield f"{name}: values differ by up to {_largest(first, second):.3g}"


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _largest(first: Tensor, second: Tensor) -> float:
    return float((first.double() - second.double()).abs().max())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what differs; return how the program should exit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    for path in (options.before, options.after):
        if not path.is_file():
            parser.error(f"{path} not found")
    before, after = load_file(options.before), load_file(options.after)
    found = list(differences(before, after))
    for line in found:
        print(line)
    print(f"{len(found)} of {len(before.keys() | after.keys())} tensors differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
