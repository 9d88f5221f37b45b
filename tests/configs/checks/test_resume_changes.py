import pytest

from configs.checks.resume_changes import changes_between, gives_other_batches, require_changeable
from configs.errors import ConfigError
from configs.schema import Experiment
from configs.schema.data import SyntheticDataset
from configs.schema.model import ModelSettings
from configs.schema.train import AdamWSettings, SgdSettings, TrainSettings

DATA = SyntheticDataset(format="synthetic", path="/x")


def experiment(**sections: object) -> Experiment:
    return Experiment.model_validate({"data": DATA, **sections})


def test_equal_settings_have_no_changes() -> None:
    assert changes_between(experiment(), experiment()) == []
    assert not gives_other_batches([])


def test_changes_are_named_with_both_values() -> None:
    new = TrainSettings(epochs=7, optimizer=SgdSettings(lr=0.5))
    changes = changes_between(experiment(), experiment(train=new))
    assert [str(change) for change in changes] == [
        "train.epochs: 100 -> 7",
        "train.optimizer.lr: 0.01 -> 0.5",
    ]
    require_changeable(changes)
    assert not gives_other_batches(changes)


def test_batch_size_and_data_give_other_batches() -> None:
    batch = changes_between(experiment(), experiment(train=TrainSettings(batch_size=3)))
    data = changes_between(experiment(), experiment(data=DATA.model_copy(update={"side": 64})))
    for changes in (batch, data):
        require_changeable(changes)
        assert gives_other_batches(changes)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"model": ModelSettings(graph="other.yaml")}, "the checkpoint is of one network"),
        ({"train": TrainSettings(optimizer=AdamWSettings(name="adamw"))}, "old optimizer"),
        ({"train": TrainSettings(head_warmup=1)}, "affects the start only"),
        ({"data": DATA.model_copy(update={"class_names": ("disc",)})}, "one list of classes"),
    ],
)
def test_what_a_checkpoint_is_bound_to_is_refused(sections: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match="cannot be changed on resume") as error:
        require_changeable(changes_between(experiment(), experiment(**sections)))
    assert words in str(error.value)


def test_fusing_is_not_part_of_the_network() -> None:
    require_changeable(changes_between(experiment(), experiment(model=ModelSettings(fuse=False))))
