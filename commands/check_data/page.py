"""Collects the content of a data set's page; the layout is in `utils/report`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from commands.build.data_figures import center_maps, class_rows, contact_sheet, data_charts
from commands.build.labelled_data import LabelledData
from commands.check_data.pictures import finding_figures
from data.doctor.examine import Diagnosis
from data.doctor.finding import Finding, Place, by_code
from data.doctor.subject import SplitTable
from utils.report.pages.data_page import (
    DataPage,
    FindingFigure,
    FindingSection,
    write_data_page,
)
from utils.runtime.files.atomic import cannot_write
from utils.runtime.program import command_line

LISTED = 40
"""Places of a finding that the page names."""
SHEET = 12
"""Labelled samples of each split."""


def write_page(path: Path, data: LabelledData, diagnosis: Diagnosis) -> None:
    """Write the page of a data set.

    Raises:
        UserError: that is not possible.
    """
    tables = list(diagnosis.subject.splits.values())
    groups = by_code(diagnosis.findings)
    page = DataPage(
        title=data.name,
        command=command_line(sys.argv),
        facts={
            "format": data.settings.format,
            "folder": data.settings.path,
            "classes": str(len(data.class_names)),
            "sizes measured at": f"{diagnosis.subject.image_size} px",
        },
        split_names=[table.name for table in tables],
        split_rows=_split_rows(tables),
        findings=[
            _section(group, figures)
            for group, figures in zip(groups, finding_figures(groups, data.splits), strict=True)
        ],
        class_rows=class_rows(tables, data.class_names),
        charts=data_charts(tables, diagnosis.subject.image_size),
        heat_maps=center_maps(tables),
        sheets=[(split.name, contact_sheet(split, SHEET)) for split in data.splits],
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_data_page(path, page)
    except OSError as error:
        raise cannot_write(path, error) from error


def _split_rows(tables: Sequence[SplitTable]) -> list[tuple[str, list[str]]]:
    def row(what: str, values: Sequence[int]) -> tuple[str, list[str]]:
        return what, [f"{value:,}" for value in values]

    rows = [
        row("images", [len(table.paths) for table in tables]),
        row("of them without objects", [int((table.counts == 0).sum()) for table in tables]),
        row("images that cannot be read", [table.report.num_left_out for table in tables]),
        row("objects", [len(table.boxes) for table in tables]),
        row("label rows that cannot be used", [table.report.num_rejected for table in tables]),
        row("objects to be ignored", [int(table.ignore.sum()) for table in tables]),
    ]
    always = {"images", "objects", "label rows that cannot be used"}
    return [(what, values) for what, values in rows if what in always or set(values) != {"0"}]


def _section(group: Sequence[Finding], figures: Sequence[FindingFigure]) -> FindingSection:
    places = [place for finding in group for place in finding.places]
    return FindingSection(
        severity=group[0].severity,
        code=group[0].code,
        title=group[0].check.title,
        messages=[(finding.split, finding.message) for finding in group],
        advice=group[0].check.advice,
        places=[_line(place) for place in places[:LISTED]],
        num_more=max(0, len(places) - LISTED),
        figures=figures,
    )


def _line(place: Place) -> str:
    text = " ".join(filter(None, (place.path, place.location)))
    if place.other and place.other != place.path:
        text += f" and {place.other}"
    return f"{text}: {place.value}" if place.value else text
