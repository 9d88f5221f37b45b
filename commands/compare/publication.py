"""Publishing a comparison: its numbers and its page, small enough for a repository."""

import json
import re
import shutil
from pathlib import Path

from commands.compare.run import REPORT_NAME, RESULT_NAME
from utils.report.tables.tables import verdict_page
from utils.runtime.errors import UserError

KIB = 1024
_PICTURE = re.compile(r"<figure><img .*?</figure>\n?", flags=re.DOTALL)
_PRIVATE = re.compile(r"(?<![\w.])(?:/(?:home|root|tmp|work|Users|mnt|data)/[\w./-]+)")


def publish(
    folder: Path, destination: Path, *, most_kib: int, pictures: bool = False
) -> list[Path]:
    """Copy comparison.json and report.html and write a README.md beside them; return the files.

    Args:
        folder: of a comparison that is finished.
        destination: folder for the files; is created.
        most_kib: largest size of a file, KiB.
        pictures: keep as many pictures of the data set as fit; few data sets may be passed on.

    Raises:
        UserError: the comparison is not finished, a file stays too large even without pictures,
            or it names a folder of this machine.
    """
    numbers, page = folder / RESULT_NAME, folder / REPORT_NAME
    if not numbers.is_file() or not page.is_file():
        raise UserError(
            f"{folder} holds no {RESULT_NAME} and {REPORT_NAME}: run compare.py report {folder}"
        )
    text = page.read_text(encoding="utf-8")
    content = json.loads(numbers.read_text(encoding="utf-8"))
    if "cautions" not in content:
        raise UserError(f"{numbers} is of an older version: run compare.py report {folder}")
    smaller = fitted(text, most_kib * KIB if pictures else 0)
    for path, size in ((numbers, numbers.stat().st_size), (page, len(smaller.encode()))):
        if size > most_kib * KIB:
            raise UserError(f"{path} has {size // KIB} KiB, more than {most_kib}, without pictures")
    _refuse_private(numbers, numbers.read_text(encoding="utf-8"))
    _refuse_private(page, smaller)
    destination.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(numbers, destination / RESULT_NAME)
    (destination / REPORT_NAME).write_text(smaller, encoding="utf-8")
    has_pictures = smaller == text
    verdict = verdict_page(folder.resolve().name, content, has_pictures=has_pictures)
    (destination / "README.md").write_text(verdict, encoding="utf-8")
    return [destination / name for name in (RESULT_NAME, REPORT_NAME, "README.md")]


def fitted(page: str, most_bytes: int) -> str:
    """Return a page with as many of its pictures as `most_bytes` allow, a note in place of others.

    A page that fits is returned as it is; without pictures it may still be too large.
    """
    pictures = list(_PICTURE.finditer(page))
    while pictures and len(page.encode()) > most_bytes:
        last = pictures.pop()
        page = page[: last.start()] + page[last.end() :]
        if not pictures:
            note = '<p class="note">Left out of this copy.</p>'
            page = page[: last.start()] + note + page[last.start() :]
    return page


def _refuse_private(path: Path, text: str) -> None:
    text = re.sub(r"base64,[\w+/=]+", "", text)
    found = _PRIVATE.search(text)
    if found:
        raise UserError(f"{path} names a folder of this machine, {found.group()}: not published")
