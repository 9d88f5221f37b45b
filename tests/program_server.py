"""Runs entry points in forks of one process that has imported what they need: no start of seconds.

Started by tests/run_programs.py, never imported. A request is a line of JSON on standard input; the
answer on standard output is a line with the process that runs it, then one with its exit code. The
program is run as the main program of a process of its own, by statements of this module rather than
functions of it, because it asks who imports it. Interrupts are looked after by what it imports
first, so that is not imported beforehand.

All programs of one server share the seed of Python's hashes, the states of unseeded random number
generators and the addresses of what is imported here. A test that one run repeats another starts
one of the two anew: `run(..., fresh=True)`.
"""

import importlib
import json
import os
import runpy
import signal
import sys

for name in ("train", "val", "predict", "export", "convert", "calibrate", "check_data", "compare"):
    for part in ("cli", "run"):
        importlib.import_module(f"commands.{name}.{part}")
assert "utils.runtime.starting" not in sys.modules, "programs have to import this themselves"

signal.signal(signal.SIGINT, signal.SIG_IGN)  # pytest gets it as well, and ends this process
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    request = json.loads(line)
    process = os.fork()
    if process == 0:
        break
    print(process, file=answers, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), file=answers, flush=True)
else:
    os._exit(0)

answers.close()
signal.signal(signal.SIGINT, signal.default_int_handler)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(os.open(request["output"], os.O_WRONLY), 1)
os.dup2(os.open(request["errors"], os.O_WRONLY), 2)
sys.stdin = os.fdopen(0, closefd=False)
os.chdir(request["folder"])
os.environ.clear()
os.environ.update(request["environment"])
sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
sys.argv = request["command"]
runpy.run_path(sys.argv[0], run_name="__main__")
