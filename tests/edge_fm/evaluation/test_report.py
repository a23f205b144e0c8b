"""The report: every figure is drawn, and the page is self-contained."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.drawing import canvas
from edge_fm.drawing.canvas import BLUE, RED, Canvas, TextStyle
from edge_fm.evaluation import figures, report
from edge_fm.evaluation.metrics import Evaluation, evaluate
from edge_fm_runtime.errors import OutputError
from tests.edge_fm.evaluation.test_metrics import answering, guesses

HISTORY = [
    {"loss": 1.0 / n, "accuracy": 1 - 0.5 / n, "validation_loss": 1.1 / n, "validation_accuracy": 1 - 0.6 / n}
    for n in range(1, 5)
]


@pytest.fixture(scope="module")
def wardrobe() -> Dataset:
    """Return a part of the wardrobe."""
    return datasets.limited(datasets.load("wardrobe"), 60, 200)


@pytest.fixture(scope="module")
def evaluation(wardrobe: Dataset) -> Evaluation:
    """Return the evaluation of random predictions with 80 % accuracy, in Korean."""
    predictor = replace(
        answering(guesses(wardrobe, 0.8)),
        name="<b>made & up</b>",
        translations=datasets.TRANSLATIONS[datasets.GARMENTS],
    )
    return evaluate(predictor, wardrobe, "ko")


def near(drawn: Canvas, colour: canvas.Colour) -> int:
    """Return the number of pixels of a colour."""
    return int((drawn.pixels_bgr == np.array(colour[::-1], np.uint8)).all(axis=2).sum())


@pytest.mark.train
def test_the_page_shows_everything(evaluation: Evaluation, wardrobe: Dataset, tmp_path: Path) -> None:
    """Every figure is in the folder and in the page, byte for byte, and the scores are in JSON."""
    page = report.write(tmp_path / "deep" / "report", evaluation, wardrobe, HISTORY, kept_epoch=3)
    files = {path.name for path in page.parent.iterdir()}
    drawn = {"samples.png", "confusion.png", "predictions.png", "mistakes.png", "curves.png"}
    assert files == drawn | {"report.html", "scores.json"}
    text = page.read_text(encoding="utf-8")
    embedded = {base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"]+)", text)}
    assert embedded == {(page.parent / name).read_bytes() for name in drawn}
    assert (
        json.loads((page.parent / "scores.json").read_text())["accuracy"]["value"]
        == evaluation.accuracy.value
    )
    for score in evaluation.classes:
        assert score.name in text
        assert f"{score.recall.value:.1%}" in text


@pytest.mark.train
def test_the_page_is_self_contained(evaluation: Evaluation, wardrobe: Dataset, tmp_path: Path) -> None:
    """All addresses are data URLs, there is no script, and a model's name is escaped."""
    page = report.write(tmp_path, evaluation, wardrobe, HISTORY, kept_epoch=3)
    found: list[tuple[str, dict[str, str | None]]] = []

    class Collect(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Collect().feed(page.read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe"} & {tag for tag, _ in found}
    assert "<b>made" not in page.read_text(encoding="utf-8")
    for _, attributes in found:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    policy = next(a["content"] for t, a in found if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_without_a_history_there_are_no_curves(
    evaluation: Evaluation, wardrobe: Dataset, tmp_path: Path
) -> None:
    """The report of an exported file has no curves and does not need matplotlib."""
    report.write(tmp_path, evaluation, wardrobe, [], 0)
    assert not (tmp_path / "curves.png").exists()
    assert (tmp_path / "report.html").is_file()


def test_a_perfect_model_has_no_mistakes_figure(wardrobe: Dataset, tmp_path: Path) -> None:
    """The report of a perfect model leaves out the figure of mistakes."""
    shares = np.eye(10, dtype=np.float32)[wardrobe.test.labels]
    report.write(tmp_path, evaluate(answering(shares), wardrobe), wardrobe, [], 0)
    assert not (tmp_path / "mistakes.png").exists()


def test_correct_is_blue_and_wrong_is_red(evaluation: Evaluation, wardrobe: Dataset) -> None:
    """Frame and bar of a prediction are blue if it is correct, else red."""
    labels = wardrobe.test.labels
    right = np.flatnonzero(evaluation.predicted == labels)[:3].tolist()
    wrong = figures.worst_mistakes(evaluation, labels)[:3].tolist()
    blue = figures.predictions(evaluation, wardrobe.test, right, "right")
    red = figures.predictions(evaluation, wardrobe.test, wrong, "wrong")
    assert near(blue, RED) == 0
    assert near(blue, BLUE) > 3 * 4 * 3 * 200  # three frames of 224 pixels, three thick
    assert near(red, RED) > 3 * 4 * 3 * 200
    assert 0 < near(red, BLUE) < near(red, RED)  # the true class's bar


def test_a_bar_is_proportional_to_the_probability(evaluation: Evaluation, wardrobe: Dataset) -> None:
    """Twice the probability is twice the length."""
    lengths = []
    for share in (0.4, 0.8):
        shares = np.full((len(wardrobe.test), 10), (1 - share) / 9, np.float32)
        shares[:, 2] = share
        found = evaluate(answering(shares), wardrobe)
        index = int(np.flatnonzero(wardrobe.test.labels == 2)[0])
        drawn = figures.predictions(found, wardrobe.test, [index], "one", columns=1)
        bars = (drawn.pixels_bgr[:, 32 + 224 + 16 + 122 :] == np.array(BLUE[::-1], np.uint8)).all(axis=2)
        lengths.append(int(bars.sum(axis=1).max()))
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=2)


def test_the_matrix_is_blue_on_the_diagonal(wardrobe: Dataset) -> None:
    """A perfect model has blue cells on the diagonal and white cells elsewhere."""
    shares = np.eye(10, dtype=np.float32)[wardrobe.test.labels]
    drawn = figures.confusion(evaluate(answering(shares), wardrobe))
    assert near(drawn, BLUE) > 10 * 60 * 60
    assert near(drawn, RED) == 0


def test_samples_show_each_image(wardrobe: Dataset) -> None:
    """Each of 25 images is at its place."""
    drawn = figures.samples(wardrobe.train, wardrobe.class_names, "samples")
    chosen = wardrobe.train.sample(25, 0)
    corner = drawn.pixels_bgr[64 + 16 : 64 + 16 + 168, 32 : 32 + 168, 0]
    inner = corner[3::6, 3::6]
    np.testing.assert_array_equal(inner, chosen.images[0, ..., 0])


def test_other_scripts_are_drawn() -> None:
    """Hangul is drawn as letters, not as question marks."""

    def drawn(text: str) -> bytes:
        paper = Canvas(200, 60)
        paper.text(text, 10, 40, TextStyle(size=30))
        return paper.pixels_bgr.tobytes()

    assert len({drawn(text) for text in ("가방", "바지", "??", "코트")}) == 4


def test_long_text_is_shortened() -> None:
    """Text with a width stays within it and ends in an ellipsis."""
    paper = Canvas(400, 60)
    paper.text("a name that is far too long for the room that it has", 10, 40, TextStyle(size=20, width=150))
    assert (paper.pixels_bgr[:, 162:] == 255).all()
    assert (paper.pixels_bgr[:, 10:160] < 255).any()


def test_many_classes_have_no_matrix(tmp_path: Path) -> None:
    """The report of a hundred classes leaves out the confusion matrix."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 28, 28, 1), np.uint8)
    names = tuple(f"class {n}" for n in range(100))
    split = datasets.Split(images, np.arange(200) % 100)
    dataset = Dataset("many", names, split, split, "drawn")
    shares = rng.dirichlet(np.ones(100), 200).astype(np.float32)
    report.write(tmp_path, evaluate(answering(shares, names), dataset), dataset, [], 0)
    assert not (tmp_path / "confusion.png").exists()
    assert (tmp_path / "mistakes.png").is_file()


def test_an_unwritable_report_is_refused(evaluation: Evaluation, wardrobe: Dataset, tmp_path: Path) -> None:
    """The message names a file in place of the folder."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="--report"):
        report.write(tmp_path / "file", evaluation, wardrobe, [], 0)
