"""The processes of one training run: ranks, and collective operations.

Started by torchrun (or anything else that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
MASTER_PORT), every process does the same work on its share of the images. The first one, rank 0,
writes files and logs; the others write to a temporary folder.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.runtime.distributed.stopped_peers import PeerGuard
from utils.runtime.distributed.watchdog import Watchdog
from utils.runtime.errors import UserError

Value = TypeVar("Value")

PATIENCE = timedelta(minutes=30)
"""Timeout of a process that waits for another; reading labels may take minutes."""
CONNECT_S = timedelta(seconds=3)
_PORT_KEY = "focaldet/port"
_OPEN = {"wait_for_workers": False}
_TCPStore: Any = dist.TCPStore  # type: ignore[attr-defined]
_kept: list[Any] = []
"""Keeps stores alive that other processes still read."""
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among `size`, numbered from 0 over all machines and on its own machine.

    restarts: how often torchrun has started all of them anew after one was lost.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0
    watchdog: Watchdog = field(default_factory=Watchdog)

    @property
    def is_main(self) -> bool:
        """Tell whether this process writes files and logs."""
        return self.rank == 0

    def at(self, place: str) -> None:
        """Record what this process does now, for the message when others wait for it."""
        self.watchdog.at(place)

    def any(self, flag: bool) -> bool:
        """Return whether it is true in any process; collective."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, by rank; collective."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_main(self, value: Value) -> Value:
        """Return the value of the first process; collective."""
        if self.size == 1:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values, src=0)
        shared: Value = values[0]
        return shared

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, without gradient; collective."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    @torch.no_grad()
    def copy_from_main(self, model: nn.Module) -> None:
        """Copy the state of `model` from the first process."""
        if self.size > 1:
            for value in model.state_dict().values():
                dist.broadcast(value, src=0)

    @contextmanager
    def main_first(self, what: str) -> Iterator[None]:
        """Let the first process run a block, such as filling a cache, before the others."""
        self.at(what)
        if not self.is_main:
            self.any(False)
        try:
            yield
        finally:
            if self.is_main:
                self.any(False)


ALONE = Ranks()
"""A training run in one process."""


@contextmanager
def join_ranks(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Initialise the process group, if there are several processes, and destroy it at the end.

    CPU tensors use gloo, CUDA tensors nccl.

    Raises:
        UserError: the environment is incomplete, or the other processes do not join.
    """
    if "RANK" not in environment or environment.get("WORLD_SIZE") == "1":
        yield Ranks(restarts=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")))
        return
    missing = [name for name in VARIABLES if name not in environment]
    if missing:
        raise UserError(
            f"RANK is set but {', '.join(missing)} not; start several processes with "
            "torchrun --nproc_per_node=N train.py ..., one without RANK"
        )
    rank, size, local_rank, address, _ = (environment[name] for name in VARIABLES)
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.set_device(int(local_rank) % torch.cuda.device_count())
    try:
        store = _meeting_point(environment)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if has_cuda else "gloo",
            store=store,
            rank=int(rank),
            world_size=int(size),
            timeout=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"process {rank} cannot reach the others: {error}") from error
    watchdog = Watchdog.beside(address, store.port)
    guard = PeerGuard(watchdog)
    guard.start()
    ranks = Ranks(
        rank=int(rank),
        size=int(size),
        local_rank=int(local_rank),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", "1")),
        restarts=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
        watchdog=watchdog,
    )
    try:
        yield ranks
    except RuntimeError as error:
        if not _is_loss_of_a_peer(error):
            raise
        raise UserError(
            f"process {rank} of {size} lost another one ({_first_line(error)}); its own output "
            "says why, and the last checkpoint is complete"
        ) from error
    finally:
        guard.stop()
        watchdog.stop()
        _part()


def _meeting_point(environment: Mapping[str, str]) -> Any:
    """Return the store for the rendezvous of this start's processes, served by the first one.

    torchrun's own store survives a restart with the addresses of dead processes, on which processes
    would wait for ever. It only passes on the port of the new store.
    """
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    is_served = environment.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    board = _TCPStore(address, port, is_master=rank == 0 and not is_served, **_OPEN)
    if rank == 0:
        own = _TCPStore(address, 0, size, is_master=True, **_OPEN)
        board.set(_PORT_KEY, str(own.port))
        _kept.append(board)
        return own
    end = time.monotonic() + PATIENCE.total_seconds()
    while True:
        try:
            own_port = int(board.get(_PORT_KEY))
            return _TCPStore(address, own_port, size, is_master=False, timeout=CONNECT_S, **_OPEN)
        except RuntimeError:  # the port of an earlier process
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _part() -> None:
    """Destroy the group; nccl may hang on a peer that is gone, and the process ends anyway."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _is_loss_of_a_peer(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return any(word in text for word in ("closed by peer", "reset by peer", "gloo", "nccl"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
