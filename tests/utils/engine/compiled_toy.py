"""The toy training compiled by the real compiler, in a process of its own that may be killed.

    python -m tests.utils.engine.compiled_toy FOLDER [EPOCH BATCH]

Goes on where a checkpoint is; dies by SIGKILL before the given batch.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from tests.utils.engine.toy import ToyBatches, toy_trainer
from utils.engine.compiled import Compiler


def main(folder: Path, place: tuple[int, ...]) -> None:
    torch.set_num_threads(1)

    def before_batch(epoch: int, batch: int) -> None:
        if (epoch, batch) == place:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer = toy_trainer(folder, batches=ToyBatches(before_batch), checkpoint_minutes=1e-9)
    trainer.learner.compile(Compiler(batch_size=4))
    if (folder / "last").exists():
        trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(int(number) for number in sys.argv[2:]))
