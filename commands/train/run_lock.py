"""Lock of a run folder: a claim names the process that trains there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.comparison.runs.run_locks import STALE_S, Claim, owner_text, take_claim
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write
from utils.runtime.printable import shortened

FOLDER = ".claims"
KEY = "training"
RENEW_S = STALE_S / 4


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock the folder of a run for this process; a thread renews the claim for other machines.

    The claim of a dead process is taken over, at once on its own machine and after three minutes
    without renewal elsewhere.

    Raises:
        UserError: another process trains there, or the folder is not writable.
    """
    try:
        claim = take_claim(folder / FOLDER, KEY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if claim is None:
        owner = owner_text(folder / FOLDER, KEY)
        raise UserError(
            f"{shortened(folder)} is being trained by {owner}; wait for it or stop it first"
        )
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(claim, ended), name="run lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        with suppress(OSError):
            claim.release()
            (folder / FOLDER).rmdir()


def _renew(claim: Claim, ended: threading.Event) -> None:
    while not ended.wait(RENEW_S):
        with suppress(OSError):
            claim.renew()
