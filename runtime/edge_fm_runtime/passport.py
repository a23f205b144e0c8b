"""The passport: all that a runner must know about a model, kept inside the `.onnx` file.

It is JSON under the metadata key `edge_fm.passport`, parsed once, here, into frozen dataclasses that check
themselves. Nothing downstream touches a dict, and no preprocessing flag exists at run time.
"""

import base64
import binascii
import json
import math
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from edge_fm_runtime.errors import ModelError

KEY = "edge_fm.passport"
"""Metadata key of the passport."""

VERSION = 2
"""Version of the passport's form; a runner refuses a newer one."""

RECIPE_VERSION = 1
"""Version of the preprocessing in `preprocess.py`; it changes when a tensor could change."""

_MAX_SIDE = 1024
_MAX_CLASSES = 10_000
_CHANNELS = (1, 3)
_MAX_LABEL_LENGTH = 200


class Fit(StrEnum):
    """How a picture of another shape becomes the input's shape."""

    LETTERBOX = "letterbox"  # keep the proportions, centre, fill the rest
    STRETCH = "stretch"
    CROP = "crop"  # keep the proportions, cut the centre


class Polarity(StrEnum):
    """Whether greys are turned round after fitting."""

    AS_IS = "as-is"
    INVERT = "invert"


class PrecisionKind(StrEnum):
    """The arithmetic of the weights and activations."""

    FP32 = "fp32"
    INT8 = "int8"


@dataclass(frozen=True)
class InputSpec:
    """The tensor `image`: (N, height, width, channels) uint8 in [0, 255], RGB order for three channels."""

    height: int
    width: int
    channels: int
    dtype: str = "uint8"
    layout: str = "NHWC"

    def __post_init__(self) -> None:
        _require(1 <= self.height <= _MAX_SIDE, f"an input height of {self.height}, not 1 to {_MAX_SIDE}")
        _require(1 <= self.width <= _MAX_SIDE, f"an input width of {self.width}, not 1 to {_MAX_SIDE}")
        _require(self.channels in _CHANNELS, f"{self.channels} input channels, neither 1 nor 3")
        _require(self.dtype == "uint8", f"an input of {self.dtype}, not uint8")
        _require(self.layout == "NHWC", f"an input layout of {self.layout}, not NHWC")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes that tensor; `preprocess.py` is the only reader.

    Attributes:
        version: of the recipe; a runner refuses a newer one.
        grey: the formula of a grey value, ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B).
        fit: what happens to other proportions.
        fill: grey level of what is filled, and what lies behind transparent pixels, in [0, 255].
        interpolation: `area` when shrinking; enlarging is always linear.
        polarity: whether greys are inverted, after fitting.
        exif: `apply`, a picture is turned upright.
        alpha: `over-fill`, transparent pixels are laid over `fill`.
    """

    version: int = RECIPE_VERSION
    grey: str = "bt601"
    fit: Fit = Fit.LETTERBOX
    fill: int = 0
    interpolation: str = "area"
    polarity: Polarity = Polarity.AS_IS
    exif: str = "apply"
    alpha: str = "over-fill"

    def __post_init__(self) -> None:
        _require(
            1 <= self.version <= RECIPE_VERSION,
            f"preprocessing version {self.version}; this edge-fm knows up to {RECIPE_VERSION}, update it",
        )
        _require(0 <= self.fill <= 255, f"a fill of {self.fill}, not 0 to 255")  # noqa: PLR2004
        for name, known in (
            ("grey", "bt601"),
            ("interpolation", "area"),
            ("exif", "apply"),
            ("alpha", "over-fill"),
        ):
            _require(getattr(self, name) == known, f"{name} {getattr(self, name)!r}; only {known!r} is known")


@dataclass(frozen=True)
class Decision:
    """How probabilities become a label.

    Attributes:
        temperature: probabilities are raised to 1 / temperature and normalised (Guo et al. 2017,
            "On Calibration of Modern Neural Networks"); 1 leaves them.
        unknown_below: a confidence under this makes the status `unknown`, in [0, 1].
        coverage: the share of validation images that stays at or above it, in (0, 1].
        groups: labels whose probabilities are summed for the confidence of each of them: a shoe that may be a sandal or a
            sneaker is surely a shoe. A label in no group stands for itself.
    """

    temperature: float = 1.0
    unknown_below: float = 0.0
    coverage: float = 1.0
    groups: tuple[tuple[str, ...], ...] = field(default=(), metadata={"added_in": 2})

    def __post_init__(self) -> None:
        _require(0.01 <= self.temperature <= 100, f"a temperature of {self.temperature}, not 0.01 to 100")  # noqa: PLR2004
        _require(0 <= self.unknown_below <= 1, f"an unknown threshold of {self.unknown_below}, not 0 to 1")
        _require(0 < self.coverage <= 1, f"a coverage of {self.coverage}, not above 0 and up to 1")


@dataclass(frozen=True)
class Precision:
    """The arithmetic, and the quantisation settings that led to it as (name, value) pairs."""

    kind: PrecisionKind = PrecisionKind.FP32
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def tolerance(self) -> float:
        """Largest difference of a probability that a replay on another machine may show."""
        return 1e-3 if self.kind is PrecisionKind.INT8 else 1e-5


@dataclass(frozen=True)
class Evidence:
    """What was measured when the file was made, source against file on the same images.

    Attributes:
        data: name of the data set.
        split: which part of it; calibration and choice never use `test`.
        images: how many.
        source_accuracy: of the source model, in [0, 1]; None where the images have no labels.
        accuracy: of this file.
        label_agreement: share of images given the same label by both.
        max_probability_difference: the largest over all images and classes.
    """

    data: str
    split: str
    images: int
    source_accuracy: float | None
    accuracy: float | None
    label_agreement: float
    max_probability_difference: float

    def __post_init__(self) -> None:
        _require(self.images >= 0, f"evidence on {self.images} images")
        for name in ("source_accuracy", "accuracy", "label_agreement", "max_probability_difference"):
            value = getattr(self, name)
            _require(value is None or 0 <= value <= 1, f"evidence with {name} {value}, not 0 to 1")


@dataclass(frozen=True)
class Golden:
    """One input that every device must answer alike.

    Attributes:
        image: the encoded picture, as a file would hold it.
        tensor: the input tensor made from it: uint8 bytes in (height, width, channels) order.
        source: the source model's probabilities.
        own: this file's probabilities on the machine that exported it.
    """

    image: bytes
    tensor: bytes
    source: tuple[float, ...]
    own: tuple[float, ...]


@dataclass(frozen=True)
class Provenance:
    """Where the model comes from: source file and its SHA-256, tools as (name, version), date, data, licence."""

    source: str
    source_sha256: str
    tools: tuple[tuple[str, str], ...]
    created: str
    data: str
    licence: str


@dataclass(frozen=True)
class Passport:
    """Everything above, for one model; `labels` are in the order of the outputs."""

    labels: tuple[str, ...]
    input: InputSpec
    preprocess: Preprocess
    decision: Decision
    precision: Precision
    evidence: tuple[Evidence, ...]
    golden: tuple[Golden, ...]
    provenance: Provenance
    version: int = VERSION

    def __post_init__(self) -> None:
        _require(
            1 <= self.version <= VERSION,
            f"passport version {self.version}; this edge-fm knows up to {VERSION}, update it",
        )
        _require(2 <= len(self.labels) <= _MAX_CLASSES, f"{len(self.labels)} labels, not 2 to {_MAX_CLASSES}")  # noqa: PLR2004
        _require(len(set(self.labels)) == len(self.labels), "the same label twice")
        grouped = [label for group in self.decision.groups for label in group]
        _require(
            set(grouped) <= set(self.labels) and len(set(grouped)) == len(grouped),
            f"groups of {grouped!r:.60}, which are not each a label of its own",
        )
        for label in self.labels:
            _require(
                0 < len(label) <= _MAX_LABEL_LENGTH and label.isprintable(),
                f"the label {label!r}, which is empty, too long or not printable",
            )
        for golden in self.golden:
            _require(
                len(golden.tensor) == math.prod(self.input.shape),
                f"a golden tensor of {len(golden.tensor)} bytes for an input of {self.input.shape}",
            )
            for row in (golden.source, golden.own):
                _require(
                    len(row) == len(self.labels),
                    f"{len(row)} golden probabilities for {len(self.labels)} labels",
                )

    def to_json(self) -> str:
        """Return the text that is kept in the model; bytes are base64."""
        return json.dumps(
            asdict(self), default=lambda raw: base64.b64encode(raw).decode(), separators=(",", ":")
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse and check the text of a model.

        Raises:
            ModelError: it is no JSON, a part is missing, of the wrong type or out of range.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ModelError(f"{_BROKEN}: it is not JSON. {_REMEDY}") from None
        parsed = _read(cls, value, "passport")
        if not isinstance(parsed, cls):  # pragma: no cover - _read returns what it was asked for
            raise TypeError
        return parsed


_BROKEN = "the model's passport is broken"
_REMEDY = "Export the model again with 'edge-fm export'"


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise ModelError(f"{_BROKEN}: it has {found}. {_REMEDY}")


def _read(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401  # JSON is untyped until here
    """Return `value` as `kind`: a dataclass, tuple, enum, optional, bytes or plain type."""
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind), value, where)
    if isinstance(kind, UnionType):
        return None if value is None else _read(get_args(kind)[0], value, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        _require(value in list(kind), f"{where} {value!r}; known are {', '.join(kind)}")
        return kind(value)
    if kind is bytes:
        try:
            return base64.b64decode(_read(str, value, where), validate=True)
        except (binascii.Error, ValueError):
            raise ModelError(f"{_BROKEN}: {where} is not base64. {_REMEDY}") from None
    if kind is float and type(value) is int:
        value = float(value)
    _require(type(value) is kind, f"{where} {value!r:.60}, which is no {kind.__name__}")
    _require(kind is not float or math.isfinite(value), f"{where} {value!r}, which is not finite")
    return value


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    _require(isinstance(value, dict), f"{where} {value!r:.60}, which is no object")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    later = {field.name for field in fields(kind) if "added_in" in field.metadata}
    missing = [name for name in names if name not in value and name not in later]
    _require(not missing, f"no {where}.{', '.join(missing)}")
    given = [name for name in names if name in value]
    return kind(**{name: _read(hints[name], value[name], f"{where}.{name}") for name in given})


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401
    _require(isinstance(value, list), f"{where} {value!r:.60}, which is no list")
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    _require(len(value) == len(kinds), f"{where} with {len(value)} items, not {len(kinds)}")
    return tuple(
        _read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )
