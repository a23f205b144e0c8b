"""Write an evaluation report: charts, scores as JSON, and a self-contained HTML page."""

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fm.datasets import Dataset
from edge_fm.evaluation import figures as figures_module
from edge_fm.evaluation.metrics import Evaluation
from edge_fm.models import runs
from edge_fm_runtime.batch.outputs.atomic import atomic
from edge_fm_runtime.errors import DataError, OutputError

PAGE, FIGURES = "report.html", "scores.json"
_TITLES = {
    "precision": "precision, mean of classes",
    "recall": "recall, mean of classes",
    "f1": "F1, mean of classes",
}
_SHOWN = 15
_CLASSES_DRAWN = 60


@dataclass(frozen=True)
class Element:
    """An image of the report: file name, heading and caption."""

    file: str
    heading: str
    caption: str


def write(
    folder: Path, evaluation: Evaluation, dataset: Dataset, history: list[dict[str, float]], kept_epoch: int
) -> Path:
    """Write the report and return the path of its page.

    Args:
        folder: folder of the report; created if missing.
        evaluation: predictions and scores.
        dataset: evaluated data set.
        history: figures of each epoch; empty for no curves. Curves need matplotlib.
        kept_epoch: epoch of the selected weights, from 1.

    Raises:
        DataError: there is a history, and matplotlib is not installed.
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        elements = [
            *_curves(folder, history, kept_epoch),
            *_draw_elements(folder, evaluation, dataset),
        ]
        figures = json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False)
        page = folder / PAGE
        texts = {folder / FIGURES: figures + "\n", page: _page(folder, evaluation, elements)}
        for path, text in texts.items():
            with atomic(path) as partial:
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror}. Choose another folder with --report"
        ) from error
    return page


def read_run_history(model: str) -> tuple[list[dict[str, float]], int]:
    """Return the history and the selected epoch of a run folder, ([], 0) for any other model.

    Raises:
        DataError: the run folder is broken.
    """
    path = Path(model)
    if not path.is_dir():
        return [], 0
    return runs.read_history(path / runs.HISTORY), runs.Run.load(path).best_epoch


def _curves(folder: Path, history: list[dict[str, float]], kept_epoch: int) -> list[Element]:
    if len(history) < 2:  # noqa: PLR2004  # a curve has two points
        return []
    try:
        from edge_fm.drawing import curves

        curves.save(curves.curves(history, kept_epoch), folder / runs.CURVES)
    except ImportError:
        raise DataError(
            "the curves of a run need matplotlib, which is not installed: run pip install 'edge-fm[train]', or evaluate "
            "the exported .onnx"
        ) from None
    caption = f"{len(history)} epochs; the weights of epoch {kept_epoch} were kept."
    return [Element(runs.CURVES, "Training", caption)]


def _draw_elements(folder: Path, evaluation: Evaluation, dataset: Dataset) -> list[Element]:
    labels, names = dataset.test.labels, evaluation.class_names
    wrong = figures_module.worst_mistakes(evaluation, labels)
    examples = np.sort(np.random.default_rng(0).permutation(len(labels))[:_SHOWN])
    drawings = [
        (
            Element("samples.png", "The data", f"25 training pictures of {dataset.name}."),
            figures_module.samples(dataset.train, names, f"{dataset.name}: training pictures"),
        ),
        (
            Element(
                "predictions.png",
                "Predictions",
                "Random test pictures: predicted class, its probability, and the true class in brackets. Blue is right, red wrong.",
            ),
            figures_module.predictions(
                evaluation, dataset.test, examples.tolist(), f"{evaluation.model}: test pictures"
            ),
        ),
    ]
    if len(wrong):
        element = Element(
            "mistakes.png",
            "The most confident mistakes",
            f"{len(wrong):,} of {len(labels):,} test pictures are classified wrongly; these with the highest confidence.",
        )
        canvas = figures_module.predictions(
            evaluation,
            dataset.test,
            wrong[:_SHOWN].tolist(),
            f"{evaluation.model}: the most confident mistakes",
        )
        drawings.append((element, canvas))
    if len(names) <= _CLASSES_DRAWN:
        matrix = Element(
            "confusion.png",
            "Confusion matrix",
            "Each row is a true class; blue is right, red is what it was taken for.",
        )
        drawings.insert(1, (matrix, figures_module.confusion(evaluation)))
    for element, canvas in drawings:
        canvas.save(folder / element.file)
    return [element for element, _ in drawings]


def _page(folder: Path, evaluation: Evaluation, elements: list[Element]) -> str:
    title = f"{evaluation.model} on {evaluation.data}"
    cards = "".join(
        f"<div><b>{figure.value:.2%}</b><span>{_TITLES.get(name, name)}</span><small>{figure.low:.2%} to {figure.high:.2%}</small></div>"
        if name != "loss"
        else f"<div><b>{figure.value:.3f}</b><span>{_TITLES.get(name, name)}</span><small>{figure.low:.3f} to {figure.high:.3f}</small></div>"
        for name, figure in evaluation.averages.items()
    )
    rows = "".join(
        f"<tr><th>{html.escape(score.name)}</th>"
        + "".join(
            f'<td><meter min="0" max="1" value="{figure.value:.4f}"></meter> {figure.value:.1%} '
            f"<small>{figure.low:.1%} to {figure.high:.1%}</small></td>"
            for figure in (score.precision, score.recall, score.f1)
        )
        + f"<td>{score.images:,}</td></tr>"
        for score in evaluation.classes
    )
    shown = "".join(
        f"<section><h2>{html.escape(element.heading)}</h2>"
        f'<img alt="{html.escape(element.heading)}" src="data:image/png;base64,{_encoded(folder / element.file)}">'
        f"<p>{html.escape(element.caption)}</p></section>"
        for element in elements
    )
    return (
        _PAGE.replace("$TITLE", html.escape(title))
        .replace("$COUNT", f"{len(evaluation.predicted):,}")
        .replace("$CARDS", cards)
        .replace("$ROWS", rows)
        .replace("$SHOWN", shown)
    )


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$TITLE - edge-fm report</title>
<style>
:root { color-scheme: light dark; --ink: #22262b; --quiet: #6a7076; --paper: #f6f7f8; --tile: #fff; --line: #dfe2e5; --accent: #1f5fbf }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --quiet: #a2a8ae; --paper: #141618; --tile: #1e2124; --line: #34383c; --accent: #7cb0ff } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1100px; padding: 24px 16px 64px; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere } h2 { font-size: 19px; margin: 0 0 12px }
p, small, header span { color: var(--quiet) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 }
.cards div, section { background: var(--tile); border: 1px solid var(--line); border-radius: 10px; padding: 16px }
.cards b { display: block; font-size: 26px; line-height: 1.2 } .cards span, .cards small { display: block }
section { margin-top: 20px; overflow-x: auto }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; border-radius: 6px; background: #fff }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600 } th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap }
td:last-child, thead th:last-child { text-align: right }
meter { width: 84px; vertical-align: middle }
</style>
</head>
<body>
<header><h1>$TITLE</h1><span>$COUNT test pictures; 95 % intervals in small print</span></header>
<div class="cards">$CARDS</div>
<section><h2>Each class</h2><table><thead><tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>pictures</th></tr></thead><tbody>$ROWS</tbody></table></section>
$SHOWN
</body>
</html>
"""
