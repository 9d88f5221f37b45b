"""What a person is told of a batch that is not finite, and the file to look at it again."""

from utils.engine.diagnosis import diagnose
from utils.engine.guard import name_images
from utils.engine.learner import Learner
from utils.engine.loss_log import REMEDY, NotFiniteError
from utils.engine.protocols import BatchSource
from utils.engine.replay_file import Replay, save_replay
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder
from utils.structures.batch import Batch


class Explanation:
    """Says where a batch that is not finite went wrong, and saves it in the run's folder."""

    def __init__(self, learner: Learner, folder: RunFolder, batches_per_epoch: int) -> None:
        self._learner = learner
        self._folder = folder
        self._batches_per_epoch = batches_per_epoch

    def __call__(self, batch: Batch, iteration: int, problem: str) -> str:
        """Return problem, place, step, first bad tensor, images and the file, in one line."""
        epoch, number = divmod(iteration, self._batches_per_epoch)
        place = f"epoch {epoch + 1}, batch {number + 1}"
        at = "" if place in problem else f" at {place}"
        return (
            f"{problem}{at}; step {self._learner.step + 1}, {self._beginning(batch, iteration)}"
            f"images {name_images(batch)}; {self._save(batch, iteration, epoch, number)}"
        )

    def _beginning(self, batch: Batch, iteration: int) -> str:
        """Return where it began. Of several processes one alone cannot compute; a replay can."""
        ranks = self._learner.ranks
        if ranks.size > 1:
            return f"process {ranks.rank} of {ranks.size} had "
        return f"began in {diagnose(self._learner, batch, iteration)}, "

    def _save(self, batch: Batch, iteration: int, epoch: int, number: int) -> str:
        rank = self._learner.ranks.rank
        name = f"epoch{epoch + 1}-batch{number + 1}" + (f"-process{rank}" if rank else "")
        path = self._folder.not_finite / f"{name}.safetensors"
        replay = Replay(
            batch=batch,
            iteration=iteration,
            model=self._learner.model.state_dict(),
            criterion=self._learner.criterion_state(),
        )
        try:
            save_replay(path, replay)
        except UserError as error:
            return str(error)
        return f"look at it with train.py --replay {path}"


def explain_stop(
    error: NotFiniteError,
    learner: Learner,
    batches: BatchSource,
    folder: RunFolder,
    place: tuple[int, int],
) -> NotFiniteError:
    """Return the error that ends a training, with all that is to be said about it.

    Args:
        error: what was noticed.
        learner: as it was left.
        batches: of the training; the batch is made once more.
        folder: of the run.
        place: epoch and batch, both from 0.
    """
    epoch, number = place[0], min(place[1], len(batches) - 1)
    batch = next(iter(batches.epoch(epoch, start=number)))
    explain = Explanation(learner, folder, len(batches))
    text = explain(batch, epoch * len(batches) + number, str(error))
    return NotFiniteError(f"{text}; {REMEDY}", number)
