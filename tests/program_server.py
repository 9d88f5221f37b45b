"""Runs programs in forks of one process that has imported what they need: no start of seconds.

Started by tests/forking.py, never imported. A program is run as the main program of a process of
its own, by statements of this module rather than functions of it, because it asks who imports it.
Interrupts are looked after by what it imports first, so that is not imported beforehand.

All programs of one server share the seed of Python's hashes, the states of unseeded random number
generators and the addresses of what is imported here. A test that one run repeats another starts
one of the two anew: `run(..., fresh=True)`.
"""

import gc
import importlib
import os
import runpy
import socket
import sys
import tempfile
from pathlib import Path

from tests.forking import Replaced, fork_programs_through, next_request, own_server, replace

for name in ("train", "val", "predict", "export", "convert", "calibrate", "check_data", "compare"):
    for part in ("cli", "run"):
        importlib.import_module(f"commands.{name}.{part}")
for name in ("hotcoco", "torch._dynamo", "torch.distributed.run"):  # imported late, or by torch
    importlib.import_module(name)
templates = importlib.import_module("utils.report.pages.page_template").page_environment()
templates.filters.update(dict.fromkeys(("json", "number", "percent", "signed"), str))
for name in ("run.html", "comparison.html", "evaluation.html"):
    templates.get_template(name)  # compiled once; its page gives it its own filters
assert "utils.runtime.starting" not in sys.modules, "programs have to import this themselves"
assert len(os.listdir("/proc/self/task")) == 1, "a fork has no threads but the one that forks"
gc.collect()
gc.freeze()

request = next_request(socket.socket(fileno=int(sys.argv[1])))
STARTERS = ("compare.py", "kill_test.py", "torch.distributed.run")
while any(word.endswith(STARTERS) for word in request["command"][:4]):
    own = own_server(request)
    if own is not None:
        fork_programs_through(own)
        break
    request = next_request(request["connection"])

tempfile.tempdir = None
command = request["command"]
while True:
    if command[0] == "-I":
        os.execv = replace
        command = command[1:]
    try:
        if command[0] == "-m":
            sys.argv = command[1:]
            sys.path[0] = request["folder"]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command
            sys.path[0] = str(Path(command[0]).resolve().parent)
            sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
            runpy.run_path(command[0], run_name="__main__")
    except Replaced as other:
        command = other.command
    else:
        break
