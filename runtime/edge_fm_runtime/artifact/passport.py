"""The passport: everything that a runner must know about a model, stored inside the `.onnx` file.

It is JSON under the metadata key `edge_fm.passport`, parsed once, here, into frozen dataclasses that check
themselves. Nothing downstream touches a dict, and no preprocessing flag exists at run time.

Files of every version open. Version 2 added `decision.groups`; 3 `decision.calibrated` and `translations`;
4 `decision.known_class_weights`; 5 `decision.reduced_decode_margin` and `decision.rounding_margin`. Version 6
gave the fields of 4 and 5 these names; the older keys are in their metadata. Version 7 added
`precision.rounding`, and bytes may be deflated.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Self

from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.artifact.strict_json import parse, read, require
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.untrusted.typed_json import encode_bytes

KEY = "edge_fm.passport"
"""Metadata key of the passport."""

VERSION = 7
"""Version of the passport's format; a runner refuses a newer one."""

_MAX_CLASSES = 10_000
_MAX_LABEL_LENGTH = 200
_MAX_WEIGHT = 1000
_MAX_GOLDEN = 16

MAX_ROUNDING = 0.01
"""Largest effect of float32 rounding on a probability with which a network is exported."""

MAX_MARGIN = 1000.0
"""Largest margin for repeating a reduced-size decode, in logits; it covers every ambiguous answer."""


class PrecisionKind(StrEnum):
    """Number format of the weights and activations."""

    FP32 = "fp32"
    INT8 = "int8"


@dataclass(frozen=True)
class Decision:
    """Rules that turn probabilities into a label and a confidence.

    Attributes:
        temperature: probabilities are raised to 1 / temperature and normalised (Guo et al. 2017,
            "On Calibration of Modern Neural Networks"); 1 leaves them.
        unknown_below: a confidence under this makes the status `unknown`, in [0, 1].
        coverage: share of validation images with a confidence at or above that threshold, in (0, 1].
        groups: labels whose probabilities are summed for the confidence of each of them: an image that may
            show a sandal or a sneaker surely shows a shoe. A label in no group counts alone.
        calibrated: whether the model computes probabilities, rather than shares of votes.
        known_class_weights: a bias, then one weight per label, of the known-class score
            (`known_class_score.py`) that multiplies every confidence; empty where the export had no images of
            unknown classes.
        reduced_decode_margin: part of the margin, in logits, that comes from decoding a JPEG at reduced size.
            The JPEG is decoded again at full size when the logits of its two likeliest labels, before the
            temperature, differ by at most sqrt((reduced_decode_margin / n)^2 + rounding_margin^2), where n is
            the number of decoded pixels per input pixel along one axis (docs/decisions/0005).
        rounding_margin: part of that margin that comes from int8 rounding, in logits.
    """

    temperature: float = 1.0
    unknown_below: float = 0.0
    coverage: float = 1.0
    groups: tuple[tuple[str, ...], ...] = field(default=(), metadata={"added_in": 2})
    calibrated: bool = field(default=True, metadata={"added_in": 3})
    known_class_weights: tuple[float, ...] = field(
        default=(), metadata={"added_in": 4, "formerly": "familiarity"}
    )
    reduced_decode_margin: float = field(default=0.7, metadata={"added_in": 5, "formerly": "doubt"})
    rounding_margin: float = field(default=0.0, metadata={"added_in": 5, "formerly": "rounding"})

    def __post_init__(self) -> None:
        require(0.01 <= self.temperature <= 100, f"a temperature of {self.temperature}, not 0.01 to 100")  # noqa: PLR2004
        require(0 <= self.unknown_below <= 1, f"an unknown threshold of {self.unknown_below}, not 0 to 1")
        require(0 < self.coverage <= 1, f"a coverage of {self.coverage}, not above 0 and up to 1")
        for name in ("reduced_decode_margin", "rounding_margin"):
            value = getattr(self, name)
            require(0 <= value <= MAX_MARGIN, f"a {name} of {value}, not 0 to {MAX_MARGIN:g}")
        for weight in self.known_class_weights:
            require(
                abs(weight) <= _MAX_WEIGHT,
                f"a weight of {weight} for the known-class score, not -{_MAX_WEIGHT} to {_MAX_WEIGHT}",
            )


@dataclass(frozen=True)
class Precision:
    """Number format of a model's weights and activations.

    Attributes:
        kind: float32 or int8.
        settings: the quantisation settings that were chosen, as (name, value) pairs.
        rounding: largest difference of a probability that rounding alone may cause in this network's float32
            form, in [0, MAX_ROUNDING]; 0 where it is below the usual tolerance.
    """

    kind: PrecisionKind = PrecisionKind.FP32
    settings: tuple[tuple[str, str], ...] = ()
    rounding: float = field(default=0.0, metadata={"added_in": 7})

    def __post_init__(self) -> None:
        require(0 <= self.rounding <= MAX_ROUNDING, f"a rounding of {self.rounding}, not 0 to {MAX_ROUNDING}")

    @property
    def tolerance(self) -> float:
        """Largest difference of a probability that a replay on another machine may have.

        float32 arithmetic differs in its last bits. In int8, such a bit may turn a rounded level, and the
        layers behind enlarge that.
        """
        return max(1e-3 if self.kind is PrecisionKind.INT8 else 1e-5, self.rounding)


@dataclass(frozen=True)
class Evidence:
    """Measurements made at export: source model against this file, on the same images.

    Attributes:
        data: name of the data set.
        split: part of the data set; calibration and selection never use `test`.
        images: number of images.
        source_accuracy: accuracy of the source model, in [0, 1]; None where the images have no labels.
        accuracy: accuracy of this file, in [0, 1]; None where the images have no labels.
        label_agreement: share of images that both give the same label, in [0, 1].
        max_probability_difference: largest difference over all images and classes, in [0, 1].
    """

    data: str
    split: str
    images: int
    source_accuracy: float | None
    accuracy: float | None
    label_agreement: float
    max_probability_difference: float

    def __post_init__(self) -> None:
        require(self.images >= 0, f"evidence on {self.images} images")
        for name in ("source_accuracy", "accuracy", "label_agreement", "max_probability_difference"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, f"evidence with {name} {value}, not 0 to 1")


@dataclass(frozen=True)
class Golden:
    """A golden input: an image that every device must answer alike.

    Attributes:
        image: the encoded image, as in a file.
        tensor: the input tensor made from it: uint8 bytes in (height, width, channels) order.
        source: probabilities of the source model.
        own: probabilities of this file on the machine that exported it.
    """

    image: bytes
    tensor: bytes
    source: tuple[float, ...]
    own: tuple[float, ...]


@dataclass(frozen=True)
class Provenance:
    """Origin of the model: source file and its SHA-256, tools as (name, version), date, data, licence."""

    source: str
    source_sha256: str
    tools: tuple[tuple[str, str], ...]
    created: str
    data: str
    licence: str


@dataclass(frozen=True)
class Translation:
    """Labels in another language, in the order of the outputs; the language as in HTML, such as `ko`."""

    language: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", self.language) is not None,
            f"labels in the language {self.language!r:.60}, which is not a code such as ko",
        )
        _check_labels(self.labels)


@dataclass(frozen=True)
class Passport:
    """Everything above for one model; `labels` are in the order of the outputs."""

    labels: tuple[str, ...]
    input: InputSpec
    preprocess: Preprocess
    decision: Decision
    precision: Precision
    evidence: tuple[Evidence, ...]
    golden: tuple[Golden, ...]
    provenance: Provenance
    version: int = VERSION
    translations: tuple[Translation, ...] = field(default=(), metadata={"added_in": 3})

    def __post_init__(self) -> None:
        require(self.version >= 1, f"passport version {self.version}, not 1 to {VERSION}")
        _check_version(self.version)
        _check_labels(self.labels)
        languages = [translation.language for translation in self.translations]
        require(len(set(languages)) == len(languages), "the same language twice")
        for translation in self.translations:
            require(
                len(translation.labels) == len(self.labels),
                f"{len(translation.labels)} labels in {translation.language} for {len(self.labels)}",
            )
        grouped = [label for group in self.decision.groups for label in group]
        require(
            set(grouped) <= set(self.labels) and len(set(grouped)) == len(grouped),
            f"groups of {grouped!r:.60}: expected labels of the model, each at most once",
        )
        require(
            len(self.decision.known_class_weights) in {0, 1 + len(self.labels)},
            f"{len(self.decision.known_class_weights)} known-class weights, not 0 or {1 + len(self.labels)} "
            "(a bias, then one per label)",
        )
        for golden in self.golden:
            require(
                len(golden.tensor) == math.prod(self.input.shape),
                f"a golden tensor of {len(golden.tensor)} bytes for an input of {self.input.shape}",
            )
            for row in (golden.source, golden.own):
                require(
                    len(row) == len(self.labels),
                    f"{len(row)} golden probabilities for {len(self.labels)} labels",
                )

    def in_language(self, language: str | None) -> Self:
        """Return the passport with its labels in another language; None leaves them.

        Raises:
            ModelError: the passport has no labels in that language.
        """
        if language is None:
            return self
        found = next((t.labels for t in self.translations if t.language == language), None)
        if found is None:
            known = (
                ", ".join(translation.language for translation in self.translations) or "no other language"
            )
            raise ModelError(
                f"the model has no labels in {language!r}, only its original ones and {known}: "
                f"export it again with --translation {language}=A,B,..."
            )
        names = dict(zip(self.labels, found, strict=True))
        groups = tuple(tuple(names[label] for label in group) for group in self.decision.groups)
        return replace(self, labels=found, decision=replace(self.decision, groups=groups), translations=())

    def to_json(self) -> str:
        """Return the text that is stored in the model; bytes are base64, deflated where that is shorter."""
        return json.dumps(asdict(self), default=encode_bytes, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse and check the text that is stored in a model.

        Raises:
            ModelError: it is not JSON, has a newer version, or a part is missing, unknown, of the wrong type
                or out of range.
        """
        value = parse(text)
        version = value.get("version") if isinstance(value, dict) else None
        if isinstance(version, int):
            _check_version(version)  # first: a newer passport may have fields that are unknown here
        golden = value.get("golden") if isinstance(value, dict) else None
        if isinstance(golden, list):
            # First: each may inflate to megabytes.
            require(len(golden) <= _MAX_GOLDEN, f"{len(golden):,} golden inputs, the limit is {_MAX_GOLDEN}")
        parsed = read(cls, value, "passport")
        if not isinstance(parsed, cls):  # pragma: no cover - read returns the type that is asked for
            raise TypeError
        return parsed


def _check_version(version: int) -> None:
    if version > VERSION:
        raise ModelError(
            f"the model's passport has version {version!s:.20}, but this edge-fm reads versions 1 to {VERSION}: "
            "update edge-fm, or export the model again with this one"
        )


def _check_labels(labels: tuple[str, ...]) -> None:
    require(2 <= len(labels) <= _MAX_CLASSES, f"{len(labels)} labels, not 2 to {_MAX_CLASSES}")  # noqa: PLR2004
    require(len(set(labels)) == len(labels), "the same label twice")
    for label in labels:
        require(
            0 < len(label) <= _MAX_LABEL_LENGTH and label.isprintable(),
            f"the label {label!r:.60}, which is empty, too long or not printable",
        )
