"""Designs: what arms become, what is refused and in which words, what makes two designs equal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from commands.compare.cli import (
    EvaluateRun,
    PowerQuestion,
    ReportComparison,
    ResumeRun,
    RunComparison,
    TrainRun,
    design_help,
    parse_compare_command,
)
from configs.errors import ConfigError
from configs.reading.design import load_design
from configs.reading.overrides import as_overrides, nested
from configs.schema.comparison import ComparisonSettings
from tests.configs.conftest import Write

COMPARE = Path(__file__).parents[3] / "configs" / "compare"
DESIGN = """\
experiment: experiment.yaml
settings: {train: {epochs: 7}}
arms:
  bce: {}
  focal:
    loss.objectness: {name: focal, gamma: 1.5, alpha: null}
baseline: bce
seeds: [0, 1]
"""
EXPERIMENT = "data: data.yaml\nmodel: {graph: graph.yaml}\n"


@pytest.fixture
def design(write: Write) -> Callable[..., Path]:
    def _design(text: str = DESIGN) -> Path:
        write("experiment.yaml", EXPERIMENT)
        return write("design.yaml", text)

    return _design


def test_arms_are_experiments_that_differ_where_stated(design: Callable[..., Path]) -> None:
    loaded = load_design(design())
    bce, focal = (loaded.arms[arm].experiment for arm in ("bce", "focal"))
    assert (bce.train.epochs, bce.loss.objectness.name) == (7, "bce")
    assert focal.loss.objectness.name == "focal"
    assert focal.model_copy(update={"loss": bce.loss}) == bce
    assert 'loss.objectness.name="focal"' in loaded.overrides("focal")
    assert "train.epochs=7" in loaded.overrides("bce")


def test_the_command_line_changes_all_arms_or_the_design(design: Callable[..., Path]) -> None:
    loaded = load_design(design(), ["train.epochs=2", "seeds=[5]", "test.margin=1"])
    assert {arm.experiment.train.epochs for arm in loaded.arms.values()} == {2}
    assert loaded.settings.seeds == (5,)
    assert loaded.settings.test.margin == 1.0


def test_another_variant_inherits_nothing(design: Callable[..., Path]) -> None:
    text = DESIGN.replace(
        "{train:", "{loss.objectness: {name: focal, gamma: 3, alpha: 0.1}, train:"
    )
    text = text.replace("bce: {}", "bce: {loss.objectness: {name: bce}}")
    loaded = load_design(design(text))
    assert loaded.overrides("bce")[0] == 'loss.objectness.name="bce"'
    assert not any("gamma" in text for text in loaded.overrides("bce"))


def test_a_gain_for_all_arms_holds_for_arms_with_another_loss(design: Callable[..., Path]) -> None:
    loaded = load_design(design(), ["loss.objectness.gain=3"])
    gains = {name: arm.experiment.loss.objectness.gain for name, arm in loaded.arms.items()}
    assert gains == {"bce": 3.0, "focal": 3.0}


def test_a_design_based_on_another_follows_the_rules_of_experiments(
    design: Callable[..., Path], write: Write
) -> None:
    design()
    based = """\
base: design.yaml
settings: {train.epochs: 9, loss.objectness.gain: 2}
arms:
  focal: {loss.objectness.gamma: 2}
  poly: {loss.objectness: {name: poly}}
"""
    loaded = load_design(write("based.yaml", based))
    losses = {name: arm.experiment.loss.objectness for name, arm in loaded.arms.items()}
    assert [loss.gain for loss in losses.values()] == [2.0, 2.0, 2.0]
    assert [loss.name for loss in losses.values()] == ["bce", "focal", "poly"]
    assert losses["focal"].model_dump()["gamma"] == 2
    assert losses["focal"].model_dump()["alpha"] is None
    assert {arm.experiment.train.epochs for arm in loaded.arms.values()} == {9}


def test_trials_go_before_the_arm(design: Callable[..., Path]) -> None:
    loaded = load_design(design())
    stated = loaded.overrides("focal", {"loss.objectness.gamma": 2})
    assert "loss.objectness.gamma=2" in stated
    assert 'loss.objectness.name="focal"' in stated


DERIVED = """\
base: design.yaml
settings: {train.epochs: 3}
arms:
  focal: {loss.objectness.gamma: 2}
  quality: {loss.objectness: {name: quality}}
"""


def test_a_design_changes_the_one_it_is_based_on(design: Callable[..., Path], write: Write) -> None:
    below = load_design(design(DESIGN + "name: below\n"))
    above = load_design(write("sub/derived.yaml", DERIVED.replace("design", "../design")))
    assert list(above.arms) == ["bce", "focal", "quality"]
    assert above.settings.seeds == below.settings.seeds
    assert {arm.experiment.train.epochs for arm in above.arms.values()} == {3}
    focal = above.arms["focal"].experiment.loss.objectness
    assert focal == below.arms["focal"].experiment.loss.objectness.model_copy(update={"gamma": 2.0})
    assert above.name.startswith("derived-")
    assert above.experiment_path == below.experiment_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("design.yaml", "derived.yaml"), "base: a design is its own base: "),
        (("design.yaml", "absent.yaml"), "base 'absent.yaml' (derived.yaml:1) not found"),
        (("base: design.yaml", "base: [a, b]"), "base (derived.yaml:1) must be the name"),
        (("focal: {loss.", "focal: {train.seed: 1, loss."), "arms.focal (derived.yaml:4) sets"),
        (("arms:", "sedes: [1]\narms:"), "unknown key 'sedes' (derived.yaml:3); did you"),
    ],
)
def test_mistakes_in_a_derived_design_are_told_with_their_place(
    design: Callable[..., Path], write: Write, change: tuple[str, str], said: str
) -> None:
    design()
    with pytest.raises(ConfigError) as caught:
        load_design(write("derived.yaml", DERIVED.replace(*change)))
    assert str(caught.value).startswith(said)


def test_mistakes_below_are_told_with_the_file_below(
    design: Callable[..., Path], write: Write
) -> None:
    design(DESIGN.replace("bce: {}", "bce: {train.seed: 4}"))
    with pytest.raises(ConfigError, match=r"arms\.bce \(design\.yaml:4\) sets train\.seed"):
        load_design(write("derived.yaml", DERIVED))


def test_an_experiment_on_the_command_line_belongs_to_the_working_directory(
    design: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = design().resolve()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine.yaml").write_text("base: ../experiment.yaml\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = load_design(path, ["experiment=mine.yaml"])
    assert loaded.experiment_path.resolve() == (tmp_path / "elsewhere/mine.yaml").resolve()


def test_dotted_and_nested_keys_mean_the_same() -> None:
    both = [{"a.b.c": 1, "a.d": [2]}, {"a": {"b": {"c": 1}, "d": [2]}}]
    assert nested(both[0]) == nested(both[1])
    assert as_overrides(both[0]) == ("a.b.c=1", "a.d=[2]")
    assert as_overrides({}) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("seeds: [0, 1]", "sedes: [0, 1]"),
            "unknown key 'sedes' (design.yaml:8); did you",
        ),
        (("baseline: bce", "baseline: none"), "baseline: 'none' is none of bce, focal"),
        (("seeds: [0, 1]", "seeds: [1, 1]"), "seeds: must be different whole numbers"),
        (("bce: {}", "bce: {train.seed: 4}"), "arms.bce (design.yaml:4) sets train.seed"),
        (("bce: {}", "bce: {data: {path: x}}"), "arms.bce (design.yaml:4) sets data.path"),
        (
            ("gamma: 1.5", "gama: 1.5"),
            "unknown key 'loss.objectness.gama' (arm focal of design.",
        ),
        (("seeds: [0, 1]", "jobs: 0"), "jobs (design.yaml:8): must be auto or a whole number"),
        (("seeds: [0, 1]", "jobs: many"), "jobs (design.yaml:8): must be auto or a whole number"),
        (("seeds: [0, 1]", "jobs: true"), "jobs (design.yaml:8): must be auto or a whole number"),
        (("seeds: [0, 1]", "jobs: auto\nengine: ray"), "jobs: auto tries this machine alone"),
        (("experiment.yaml", "other.yaml"), "experiment 'other.yaml' (design.yaml:1) not found"),
        (("seeds: [0, 1]", "test: {margn: 1}"), "unknown key 'test.margn' (design.yaml:8)"),
        (("  bce: {}\n", ""), "arms"),
    ],
)
def test_mistakes_are_told_with_their_place(
    design: Callable[..., Path], change: tuple[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_design(design(DESIGN.replace(*change)))
    assert str(caught.value).startswith(said)


def test_tuning_wants_equal_effort_and_fresh_seeds(design: Callable[..., Path]) -> None:
    trials = "tuning: {seeds: [9], trials: {bce: [{train.epochs: 3}], focal: []}}\n"
    with pytest.raises(ConfigError, match="every arm needs as many trials; now bce 1, focal 0"):
        load_design(design(DESIGN + trials))
    trials = trials.replace("[]", "[{train.epochs: 4}]")
    assert load_design(design(DESIGN + trials)).settings.tuning is not None
    with pytest.raises(ConfigError, match=r"tuning\.seeds: must not be among seeds"):
        load_design(design(DESIGN + trials.replace("[9]", "[1]")))


def test_what_is_compared_names_the_comparison(design: Callable[..., Path]) -> None:
    first = load_design(design())
    assert first.name == f"design-{first.hash[:8]}"
    same = load_design(design(), ["seeds=[0,1,2]", "jobs=auto", "folder=x", "train.workers=0"])
    assert same.hash == first.hash
    for other in ("test.margin=1", "train.epochs=8", "arms.focal.loss.objectness.gamma=2"):
        assert load_design(design(), [other]).hash != first.hash
    assert load_design(design(), ["name=mine"]).name == "mine"


@pytest.mark.parametrize("path", sorted(COMPARE.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_designs_load(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bccd/BCCD", "facemask"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("FOCALDET_DATASETS", str(tmp_path))
    loaded = load_design(path)
    hashes = [arm.hash for arm in loaded.arms.values()]
    assert len(set(hashes)) == len(hashes)
    assert loaded.arms[loaded.settings.baseline].experiment.loss.classification.name == "bce"


def test_focal_vs_bce_changes_nothing_but_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bccd/BCCD").mkdir(parents=True)
    monkeypatch.setenv("FOCALDET_DATASETS", str(tmp_path))
    arms = load_design(COMPARE / "focal_vs_bce.yaml").arms
    assert list(arms) == ["bce", "bce_alpha", "focal_v5", "focal_matched", "quality", "varifocal"]
    bce = arms["bce"].experiment
    for arm in arms.values():
        assert arm.experiment.model_copy(update={"loss": bce.loss}) == bce


def test_focal_vs_bce_on_the_modern_head_changes_the_class_loss_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bccd/BCCD").mkdir(parents=True)
    monkeypatch.setenv("FOCALDET_DATASETS", str(tmp_path))
    arms = load_design(COMPARE / "focal_vs_bce_modern.yaml").arms
    assert list(arms) == ["bce", "focal_published", "focal_matched", "quality", "varifocal"]
    bce = arms["bce"].experiment
    for arm in arms.values():
        loss = arm.experiment.loss
        own = loss.model_copy(update={"classification": bce.loss.classification})
        assert arm.experiment.model_copy(update={"loss": own}) == bce
        kept = (loss.classification.gain, loss.classification.normalizer)
        assert (*kept, loss.classification.target) == (0.5, "targets", "aligned")


def test_command_line() -> None:
    run = parse_compare_command(["--cfg", "d.yaml", "jobs=2", "train.epochs=1"])
    assert run == RunComparison(Path("d.yaml"), ("jobs=2", "train.epochs=1"))
    assert parse_compare_command(["report", "runs/x"]) == ReportComparison(Path("runs/x"))
    assert parse_compare_command(["judge", "runs/x"]) == EvaluateRun(Path("runs/x"))
    planned = parse_compare_command(["--cfg", "d.yaml", "--plan-only"])
    assert planned == RunComparison(Path("d.yaml"), (), plan_only=True)
    train = parse_compare_command(["train", "--cfg", "e.yaml", "train.seed=1"])
    assert train == TrainRun(Path("e.yaml"), ("train.seed=1",))
    assert parse_compare_command(["train", "--resume", "r"]) == ResumeRun(Path("r"), ())
    asked = parse_compare_command(["power", "--sd", "0.8", "--margin", "0.5", "--arms", "3"])
    assert asked == PowerQuestion(0.8, 0.5, 3, "holm")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["report"],
        ["report", "a", "b"],
        ["power"],
        ["power", "--sd", "-1"],
        ["--cfg", "d.yaml", "jobs"],
        ["train", "train.seed=1"],
        ["train", "--cfg", "e.yaml", "--resume", "r"],
        ["--cfg", "d.yaml", "--job=2"],
    ],
)
def test_wrong_usage_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_compare_command(words)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_help_names_every_key() -> None:
    text = design_help()
    assert all(f"  {name}  " in text for name in set(ComparisonSettings.model_fields) - set(GROUPS))
    assert all(f"  {group}." in text for group in GROUPS)


def test_help_shows_how_to_see_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_compare_command(["--help"])
    assert "--plan-only" in capsys.readouterr().out


GROUPS = ("test", "tuning", "pairing")


@pytest.mark.parametrize(
    ("overrides", "arm"),
    [
        (["train.batch_size=auto"], "bce"),
        (["arms.focal.train.batch_size=auto"], "focal"),
        (["tuning={trials: {bce: [{}], focal: [{train.batch_size: auto}]}}"], "focal"),
        (
            ["tuning={trials: 2, space: {all: {train.batch_size: {choices: [4, auto]}}}}"],
            "bce",
        ),
    ],
)
def test_a_measured_batch_size_is_refused_before_training(
    design: Callable[..., Path], overrides: list[str], arm: str
) -> None:
    load_design(design(), ["train.batch_size=4"])
    with pytest.raises(ConfigError) as refused:
        load_design(design(), overrides)
    assert f"train.batch_size is auto in arm {arm}" in str(refused.value)
    assert "train.batch_size=16" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_folds_take_the_place_of_seeds(design: Callable[..., Path]) -> None:
    command = parse_compare_command(["--cfg", str(design()), "--folds", "4"])
    assert isinstance(command, RunComparison)
    loaded = load_design(command.cfg, command.overrides)
    assert (loaded.settings.folds, loaded.settings.seeds) == (4, (0, 1, 2, 3))
    assert loaded.hash != load_design(command.cfg).hash
    assert loaded.hash != load_design(command.cfg, ["folds=5"]).hash
    for wrong, words in (
        (["folds=1"], "folds"),
        (["folds=4", "tuning={trials: {bce: [{}], focal: [{}]}}"], "exclude each other"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_design(command.cfg, wrong)
    with pytest.raises(SystemExit):
        parse_compare_command(["--cfg", str(design()), "--folds", "many"])
