"""What `val.py --plots` writes: page, charts as files and the numbers behind them."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from commands.build.evaluation import truth_and_found
from commands.val.run import Evaluation
from utils.metrics.analysis import Analysis, analyse
from utils.metrics.worst_images import KINDS
from utils.report.charts.evaluation_charts import confusion_chart, evaluation_charts
from utils.report.charts.svg_file import svg_file
from utils.report.drawing import data_uri, encode_jpeg
from utils.report.pages.evaluation_page import EvaluationPage, write_evaluation_page
from utils.report.pages.page_template import Figure
from utils.runtime.files.atomic import cannot_write, write_json, write_text
from utils.runtime.program import command_line

logger = logging.getLogger(__name__)

LISTED = 10
"""Images named for each kind of error."""
PICTURED = 2
"""Of which so many are shown."""


def analyse_evaluation(judged: Evaluation) -> Analysis:
    """Return the analysis of an evaluation."""
    return analyse(
        judged.evaluator.truths,
        judged.evaluator.detections,
        judge=judged.settings.judge,
        threshold=judged.settings.report_threshold,
        shared_threshold=judged.result.operating_points["best_f1"]["threshold"],
    )


def write_evaluation_report(
    folder: Path, judged: Evaluation, analysis: Analysis, *, facts: dict[str, str]
) -> None:
    """Write index.html, analysis.json and every chart as an SVG file into `folder`.

    Raises:
        UserError: that is not possible.
    """
    names = judged.split.class_names
    # Positions count images by ascending id, as the evaluator does.
    records = sorted(judged.split.records, key=lambda record: record.image_id)
    paths = [record.path for record in records]
    worst = {kind: analysis.image_errors.worst(kind, LISTED) for kind in KINDS}
    page = EvaluationPage(
        title=f"{facts['weights']} on {judged.data_name or 'data'}, {judged.split.name}",
        command=command_line(sys.argv),
        facts=facts,
        result=judged.result,
        analysis=analysis,
        class_names=names,
        worst={
            kind: [(Path(paths[image]).name, count) for image, count in images]
            for kind, images in worst.items()
        },
        figures=list(_figures(judged, worst)),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_evaluation_page(folder / "index.html", page)
        write_json(folder / "analysis.json", analysis.to_json(names, paths))
        charts = evaluation_charts(analysis, names)
        charts["confusion"] = confusion_chart(judged.result.confusion, [*names, "background"])
        for name, area in charts.items():
            write_text(folder / f"{name}.svg", svg_file(area.title, [area]))
    except OSError as error:
        raise cannot_write(folder, error) from error
    logger.info("written: %s", folder / "index.html")


def _figures(judged: Evaluation, worst: dict[str, list[tuple[int, int]]]) -> Iterator[Figure]:
    records = sorted(judged.split.records, key=lambda record: record.image_id)
    threshold = judged.settings.report_threshold
    shown: set[int] = set()
    for kind, images in worst.items():
        fresh = [(image, count) for image, count in images if image not in shown]
        for image, count in fresh[:PICTURED]:
            shown.add(image)
            record = records[image]
            picture = truth_and_found(
                record,
                judged.evaluator.detections_of(record.image_id),
                judged.split.class_names,
                threshold,
            )
            caption = f"{Path(record.path).name}: {count} {kind}; left labels, right detections"
            yield Figure(source=data_uri(encode_jpeg(picture)), caption=caption)
