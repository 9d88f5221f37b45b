"""Settings of a training that do not go together with `train.compile`."""

from collections.abc import Iterator

from configs.schema.train import TrainSettings


def compile_contradictions(settings: TrainSettings) -> Iterator[tuple[str, str]]:
    """Yield the key `train.compile` with what is in its way, once for each thing."""
    for problem in _problems(settings) if settings.compile != "off" else ():
        yield "train.compile", f"is {settings.compile}, {problem} or train.compile=off"


def _problems(settings: TrainSettings) -> Iterator[str]:
    if settings.multi_scale:
        yield (
            "and would compile, for minutes, for each size that train.multi_scale draws; "
            "state train.multi_scale=0"
        )
    if settings.oom == "halve":
        yield "which is for whole batches, but train.oom=halve divides them; state train.oom=stop"
    if settings.threads == "auto":
        yield (
            "and compiled code has a number of threads built in, but train.threads=auto changes "
            "it; state a number"
        )
    batches = round(settings.nominal_batch / settings.batch_size)
    if settings.compile == "graphs" and batches > 1:
        yield (
            f"and CUDA graphs overwrite gradients that wait for a step, but one takes {batches} "
            f"batches; state train.nominal_batch={settings.batch_size}, train.compile=network"
        )
