"""Running a function in several processes that train together."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch

from utils.runtime.distributed.ranks import Ranks, join_ranks

TIMEOUT_S = 200


def in_processes(
    count: int, work: Callable[[Ranks], Any], *, timeout_s: float = TIMEOUT_S
) -> list[Any]:
    """Return what `work` returns in each of `count` processes that have joined, by rank.

    Results have to be picklable; tensors should be plain lists.
    """
    context = multiprocessing.get_context("fork")
    port = free_port()
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    processes = [
        context.Process(target=_enter, args=(work, rank, count, port, writing))
        for rank, (_, writing) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, writing in pipes:
        writing.close()
    try:
        results = [_received(reading, timeout_s) for reading, _ in pipes]
    finally:
        for process in processes:
            process.join(timeout=5)
            process.kill()
    failures = [str(value) for is_good, value in results if not is_good]
    assert not failures, "\n".join(failures)
    return [value for _, value in results]


def _received(reading: Any, timeout_s: float) -> tuple[bool, Any]:
    if not reading.poll(timeout_s):
        return False, "no answer"
    try:
        answer: tuple[bool, Any] = reading.recv()
        return answer
    except EOFError:
        return False, "died"


def _enter(work: Callable[[Ranks], Any], rank: int, count: int, port: int, writing: Any) -> None:
    torch.set_num_threads(1)
    environment = {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    os.environ.update(environment)
    try:
        with join_ranks(environment) as ranks:
            writing.send((True, work(ranks)))
    except BaseException:  # into the parent's message, whatever it was
        writing.send((False, traceback.format_exc()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
