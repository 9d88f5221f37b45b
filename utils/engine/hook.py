"""`Hook`: four points of a training run at which other code is called.

`HookCalls` calls the hooks; an error of one is raised once the state is saved.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from utils.checkpoint.tree import flatten
from utils.engine.run import Run
from utils.runtime.errors import UserError
from utils.runtime.program import own_module
from utils.structures.loss_terms import LossTerms


class Hook(Protocol):
    """Observes a training run, logs it, saves from it, or ends it; changes no result of it.

    Derive from it and write the methods that are needed; the others do nothing. With a method
    `state()` that returns numbers, texts, tensors, lists and dicts of them, and `load_state(state)`
    that takes them back, a hook's memory is part of every checkpoint. Of several processes only the
    first one has hooks.
    """

    def before_training(self, run: Run) -> None:
        """Called before the first batch; a resumed run is where it was saved.

        If the initial weights were evaluated, `run.metrics` has the results, as epoch 0.
        """
        return

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Called after a batch, unless it was skipped (`train.non_finite`).

        The batches of one optimizer step come one by one; `run.step` counts steps. The terms in
        `losses` may be on a device: reading one waits for it. Do not keep them.
        """
        return

    def after_epoch(self, run: Run) -> None:
        """Called after an epoch and its evaluation; `run.metrics` has the results."""
        return

    def after_training(self, run: Run) -> None:
        """Called at the end, or when training was interrupted or failed (`is_finished`)."""
        return


logger = logging.getLogger(__name__)


_OURS = (own_module("utils."), own_module("commands."))
"""How the modules of our own hooks begin."""


class HookError(UserError):
    """A hook raised an exception; the message names the hook."""


class HookCalls:
    """The hooks of one training, called in their order.

    An exception of a hook does not end training at once: the others are called first, and the
    trainer saves before it raises `failure`.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        counts: Counter[str] = Counter()
        self._hooks: dict[str, Hook] = {}
        for hook in hooks:
            name = type(hook).__qualname__
            counts[name] += 1
            self._hooks[name if counts[name] == 1 else f"{name} {counts[name]}"] = hook
        self.failure: UserError | None = None

    @contextmanager
    def around(self, run: Run, addition: str = "") -> Iterator[None]:
        """Call `before_training`, and `after_training` however the training ends; `addition` goes
        into the message of the former.

        Raises:
            UserError: a hook failed before; a later error is only logged, as training is complete
                then, or has failed for another reason.
        """
        try:
            self._call_all("before_training", run)
            self.raise_failure(addition)
            yield
        finally:
            before, self.failure = self.failure, None
            self._call_all("after_training", run)
            if self.failure is not None:
                logger.warning("%s", self.failure)
            self.failure = before

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Call `after_step` of all hooks."""
        self._call_all("after_step", run, losses)

    def after_epoch(self, run: Run) -> None:
        """Call `after_epoch` of all hooks."""
        self._call_all("after_epoch", run)

    def raise_failure(self, addition: str = "") -> None:
        """Raise the error of a hook, if there was one; `addition` is appended to its message."""
        failure = self.failure
        if failure is None:
            return
        if addition and type(failure) in (HookError, UserError):
            raise type(failure)(f"{failure}{addition}") from failure.__cause__
        raise failure

    def state(self) -> dict[str, Any]:
        """Return the states of the hooks that have one, by name of the hook."""
        states: dict[str, Any] = {}
        for name, hook in self._hooks.items():
            if hasattr(hook, "state"):
                self._call(name, "state", partial(_keep_state, states, name, hook))
        return states

    def load_state(self, states: Mapping[str, Any]) -> None:
        """Give the hooks that have a state in a checkpoint what they returned.

        Raises:
            UserError: a hook cannot take it.
        """
        for name, hook in self._hooks.items():
            load = getattr(hook, "load_state", None)
            if name in states and load is not None:
                self._call(name, "load_state", partial(load, states[name]))
        self.raise_failure()

    def _call_all(self, moment: str, *arguments: Any) -> None:
        for name, hook in self._hooks.items():
            method = getattr(hook, moment, None)
            if method is not None:
                self._call(name, moment, partial(method, *arguments))

    def _call(self, name: str, moment: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            if self.failure is not None:
                return
            module = type(self._hooks[name]).__module__
            if isinstance(error, UserError) and module.startswith(_OURS):
                self.failure = error  # it says what to do; which hook is no help
                return
            text = f"hook {module}.{name} failed in {moment}: {_said(error)}"
            self.failure = HookError(text)
            self.failure.__cause__ = error


def _keep_state(states: dict[str, Any], name: str, hook: Any) -> None:
    state = hook.state()
    flatten(state)  # fails now, while the hook is known
    states[name] = state


def _said(error: Exception) -> str:
    """Return kind, message and place of an exception in one line."""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}:"
    text = " ".join([kind, *str(error).split()]).strip()
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first one is the call above
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{text.removesuffix(':')}{place}"
