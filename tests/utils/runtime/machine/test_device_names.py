import pytest

from configs.schema.train import TrainSettings
from utils.runtime.errors import UserError
from utils.runtime.machine import device as machine
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.device_names import device_numbers, require_one_process_a_device


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        (0, "cuda:0"), ("0", "cuda:0"), (3, "cuda:3"), ("0,1", "cuda:0,1"), ("0, 2", "cuda:0,2"),
        ([0, 1], "cuda:0,1"), ([2], "cuda:2"),
        ("cuda:1", "cuda:1"), ("auto", "auto"), ("mps", "mps"),
    ],
)  # fmt: skip
def test_numbers_name_cuda_devices(stated: object, name: str) -> None:
    assert TrainSettings.model_validate({"device": stated}).device == name


@pytest.mark.parametrize(
    "stated", [True, -1, "gpu", "0,", ",1", "cuda:", 1.0, [], [True], ["0"], [-1, 0]]
)
def test_other_names_are_refused(stated: object) -> None:
    with pytest.raises(ValueError, match="device"):
        TrainSettings.model_validate({"device": stated})


def test_numbers_of_a_name() -> None:
    assert device_numbers("cuda:0,3") == [0, 3]
    assert device_numbers("cuda") == device_numbers("cpu") == []


@pytest.mark.parametrize(
    ("program", "word"),
    [("/x/y/train.py", "train.py"), ("focaldet train", "-m focaldet train")],
)
def test_several_devices_get_the_command_to_type(program: str, word: str) -> None:
    arguments = [program, "--cfg", "a.yaml", "train.device=0,1", "train.epochs=3"]
    with pytest.raises(UserError) as error:
        require_one_process_a_device("cuda:0,1", arguments=arguments, processes=1)
    assert str(error.value) == (
        "train.device=0,1: one process computes on one device; type CUDA_VISIBLE_DEVICES=0,1 "
        f"torchrun --nproc-per-node 2 {word} --cfg a.yaml train.epochs=3"
    )
    require_one_process_a_device("cuda:0,1", arguments=arguments, processes=2)
    require_one_process_a_device("cuda:0", arguments=arguments, processes=1)


def test_each_process_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(machine, "_cuda_index", lambda name, index: index)
    assert [choose_device("cuda:3,5", rank).index for rank in (0, 1)] == [3, 5]
