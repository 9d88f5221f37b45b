"""The best weights so far, on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from utils.checkpoint.weights import save_weights
from utils.engine.stopping import EarlyStopping
from utils.runtime.run_folder import RunFolder
from utils.structures.results import EvalResult


@dataclass(kw_only=True, eq=False)
class BestWeights:
    """Writes best.safetensors whenever an epoch beats all before, as `stopping` remembers them.

    `metadata` goes into the file. `result` is the evaluation of the weights in it. Of several
    processes one is the writer; the others only remember.
    """

    folder: RunFolder
    metadata: Mapping[str, Any]
    stopping: EarlyStopping
    is_writer: bool = True
    result: dict[str, Any] | None = None

    def offer(self, model: nn.Module, result: EvalResult, epoch: int) -> bool:
        """Keep the weights of `epoch` (from 0) if they are the best; tell whether they are."""
        if not self.stopping.is_best(epoch, result.map50_95):
            return False
        self.keep(model, result, epoch)
        return True

    def keep(self, model: nn.Module, result: EvalResult | None, epoch: int) -> None:
        """Write the weights of `epoch` (from 0), judged or not."""
        self.result = None if result is None else result.to_json()
        if not self.is_writer:
            return
        score = None if result is None else result.map50_95
        metadata = {**self.metadata, "epoch": epoch + 1, "map50_95": score}
        save_weights(self.folder.best, model.state_dict(), metadata)
