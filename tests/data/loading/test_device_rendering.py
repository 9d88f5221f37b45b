from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from data.loading.device_rendering import SideStream, rendering_device

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda:1"), torch.device("mps")


@pytest.mark.parametrize(
    ("choice", "device", "want"),
    [
        ("auto", CPU, None),
        ("auto", CUDA, CUDA),
        ("auto", MPS, None),
        ("cpu", CPU, None),
        ("cpu", CUDA, None),
        ("train", CPU, CPU),
        ("train", CUDA, CUDA),
        ("train", MPS, MPS),
    ],
)
def test_who_draws(choice: Any, device: torch.device, want: torch.device | None) -> None:
    assert rendering_device(choice, device) == want


class StandIn:
    """For `torch.cuda`: writes down, in order, what happens on which stream."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.stream_name = "main"
        self.events = 0

    def Stream(self, device: torch.device) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(name=f"side of {device}")

    @contextmanager
    def stream(self, stream: SimpleNamespace) -> Iterator[None]:
        before, self.stream_name = self.stream_name, stream.name
        yield
        self.stream_name = before

    def Event(self) -> SimpleNamespace:  # noqa: N802
        self.events += 1
        event = SimpleNamespace(name=f"event {self.events}")
        event.record = lambda stream: self.log.append(f"{event.name} on {stream.name}")
        return event

    def current_stream(self, device: torch.device) -> SimpleNamespace:
        name = f"{self.stream_name} of {device}"
        wait = lambda event: self.log.append(f"{name} waits for {event.name}")  # noqa: E731
        return SimpleNamespace(name=name, wait_event=wait)


class Planned:
    """A batch that writes down where it is moved, drawn and kept."""

    def __init__(self, number: int, cuda: StandIn) -> None:
        self.number, self.cuda = number, cuda

    def to(self, device: torch.device) -> "Planned":
        self.cuda.log.append(f"{self.number} to {device} on {self.cuda.stream_name}")
        return self

    def render(self) -> SimpleNamespace:
        self.cuda.log.append(f"{self.number} drawn on {self.cuda.stream_name}")
        targets = SimpleNamespace(
            boxes=self._tensor("boxes"),
            labels=self._tensor("labels"),
            image_index=self._tensor("index"),
        )
        return SimpleNamespace(number=self.number, images=self._tensor("images"), targets=targets)

    def _tensor(self, name: str) -> SimpleNamespace:
        keep = lambda stream: self.cuda.log.append(f"{self.number} {name} for {stream.name}")  # noqa: E731
        return SimpleNamespace(record_stream=keep)


def test_the_next_batch_is_drawn_before_this_one_is_handed_over() -> None:
    cuda = StandIn()
    stream = SideStream(CUDA, cuda)
    seen = []
    for batch in stream.rendered(Planned(number, cuda) for number in (1, 2)):  # type: ignore[misc]
        cuda.log.append(f"{batch.number} learned")  # type: ignore[attr-defined]
        seen.append(batch.number)  # type: ignore[attr-defined]
    assert seen == [1, 2]
    side, main = "side of cuda:1", "main of cuda:1"

    def rendered(number: int) -> list[str]:
        return [
            f"{number} to cuda:1 on {side}",
            f"{number} drawn on {side}",
            f"event {number} on {side}",
        ]

    def handed_over(number: int) -> list[str]:
        kept = [f"{number} {name} for {main}" for name in ("images", "boxes", "labels", "index")]
        return [f"{main} waits for event {number}", *kept, f"{number} learned"]

    assert cuda.log == [*rendered(1), *rendered(2), *handed_over(1), *handed_over(2)]


def test_no_batches_are_no_batches() -> None:
    assert list(SideStream(CUDA, StandIn()).rendered([])) == []


@pytest.mark.parametrize("count", [1, 5])
def test_every_batch_comes_once_in_order(count: int) -> None:
    cuda = StandIn()
    planned = [Planned(number, cuda) for number in range(count)]
    numbers = [batch.number for batch in SideStream(CUDA, cuda).rendered(planned)]  # type: ignore
    assert numbers == list(range(count))
