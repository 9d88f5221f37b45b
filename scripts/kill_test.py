"""Kill and resume training runs at random: python scripts/kill_test.py --runs 25.

Every run is a tiny training on generated images with mosaic, running average, accumulation and
early stopping, with 0 and 2 workers in turn. It is killed (SIGKILL, workers too) up to three times,
about half of the kills inside the writing of a checkpoint, and resumed to its end. Its weights must
equal those of an uninterrupted training run, bit for bit.

Processes are forked from one that has everything imported, so that a start takes no seconds;
--fresh starts each as a person does.
"""

import argparse
import logging
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from utils.runtime.machine.threads import prepare_environment
from utils.runtime.progress import start_logging

GRAPH = """\
nc: 6
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[6, 7, 12, 10], [20, 18, 30, 34]]
backbone:
- [-1, 1, Conv, [8, 3, 2]]
- [-1, 1, Conv, [16, 3, 2]]
- [-1, 1, C3, [16]]
- [-1, 1, Conv, [16, 3, 2]]
head:
- [-1, 1, Conv, [16, 3, 2]]
- [[3, 4], 1, Detect, [nc, anchors]]
"""
SETTINGS = (
    "data.train_images=16", "data.val_images=4", "data.test_images=0", "data.side=64",
    "model.anchors=graph", "train.image_size=64", "train.batch_size=4", "train.nominal_batch=8",
    "train.epochs=8", "train.patience=3", "train.threads=1", "train.precision=float32",
    "augment.mosaic=0.7", "augment.close_mosaic=2", "eval.interval=1",
    "run.checkpoint_minutes=0.0005",
)  # fmt: skip
MODERN_GRAPH = GRAPH.replace("anchors: [[6, 7, 12, 10], [20, 18, 30, 34]]\n", "").replace(
    "Detect, [nc, anchors]", "Joint, [nc, 4]"
)
MODERN_SETTINGS = (
    "loss.assigner={name: task_aligned}", "loss.box={name: ciou, gain: 7.5, normalizer: targets}",
    "loss.objectness=null", "loss.classification={name: bce, gain: 0.5, normalizer: targets}",
    "loss.distribution={gain: 1.5}",
)  # fmt: skip
"""What an anchor-free head needs beside the settings above."""
WORKERS = (0, 2)


class ForkedTraining:
    """A training run in a fork of this process, which has imported everything it needs."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._become_training(arguments, log)

    def _become_training(self, arguments: list[str], log: Path) -> None:
        code = 1
        try:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.argv = ["train.py", *arguments]
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except Exception:  # into the log, as Python would; os._exit shows nothing
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """Return the exit code, once it has ended."""
        code = self._reap(0)
        return 1 if code is None else code

    def _reap(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def main() -> int:
    """Run the test and return 0 if every run ended with the same weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=25, help="killed training runs; default 25")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default 0")
    parser.add_argument("--modern", action="store_true", help="an anchor-free head, soft targets")
    parser.add_argument("--fresh", action="store_true", help="start each process from nothing")
    options = parser.parse_args()
    start_logging()
    prepare_environment()
    folder = Path(tempfile.mkdtemp(prefix="kill-test-"))
    equal = run_all(
        folder, options.runs, options.seed, is_fresh=options.fresh, is_modern=options.modern
    )
    logging.info("%d of %d runs ended with the same weights", equal, options.runs)
    if equal == options.runs:
        shutil.rmtree(folder)
        return 0
    logging.error("the runs are kept in %s", folder)
    return 1


def run_all(folder: Path, runs: int, seed: int, *, is_fresh: bool, is_modern: bool) -> int:
    """Kill and resume `runs` training runs; return how many ended like uninterrupted ones."""
    import commands.train.run  # noqa: F401  so that forks need not
    from commands.train.resume_check import KillableTraining, launch_program

    launch = launch_program if is_fresh else ForkedTraining
    graph = folder / "tiny.yaml"
    graph.write_text(MODERN_GRAPH if is_modern else GRAPH)
    arguments = ["--cfg", str(ROOT / "configs" / "quickstart.yaml"), *SETTINGS]
    arguments += MODERN_SETTINGS if is_modern else ()
    arguments += [f"data.path={folder / 'images'}", f"model.graph={graph}"]
    straight = KillableTraining(arguments, folder / "straight", launch).finish()
    logging.info("undisturbed: %.1f s, sha256 %s", straight.seconds, straight.digest[:16])
    equal = 0
    for number in range(runs):
        workers = WORKERS[number % len(WORKERS)]
        training = KillableTraining(
            [*arguments, f"train.workers={workers}"], folder / f"run{number}", launch
        )
        draw = random.Random(f"{seed}-{number}")
        ended = training.finish(draw.randint(1, 3), draw=draw, usual_s=straight.seconds)
        is_equal = ended.digest == straight.digest
        equal += is_equal
        logging.info(
            "run %d, %d workers: killed %s: %s", number + 1, workers,
            ", ".join(ended.kills) or "never", "equal" if is_equal else "NOT EQUAL",
        )  # fmt: skip
    return equal


if __name__ == "__main__":
    sys.exit(main())
