"""What a model takes, and how a picture becomes it: the part of the passport that preprocessing reads."""

from dataclasses import dataclass
from enum import StrEnum

from edge_fm_runtime.artifact.strict_json import require

PREPROCESS_VERSION = 2
"""Version of the preprocessing in `preprocess.py`; it changes when a tensor could change. A model of an older version runs with
this one: 2 shrinks reduced JPEGs closer to their full scale."""

_MAX_SIDE = 1024
_CHANNELS = (1, 3)


class Fit(StrEnum):
    """How a picture of another shape becomes the input's shape."""

    LETTERBOX = "letterbox"  # keep the proportions, centre, fill the rest
    STRETCH = "stretch"
    CROP = "crop"  # keep the proportions, cut the centre


class Polarity(StrEnum):
    """Whether greys are turned round after fitting."""

    AS_IS = "as-is"
    INVERT = "invert"


@dataclass(frozen=True)
class InputSpec:
    """The tensor `image`: (N, height, width, channels) uint8 in [0, 255], RGB order for three channels."""

    height: int
    width: int
    channels: int
    dtype: str = "uint8"
    layout: str = "NHWC"

    def __post_init__(self) -> None:
        require(1 <= self.height <= _MAX_SIDE, f"an input height of {self.height}, not 1 to {_MAX_SIDE}")
        require(1 <= self.width <= _MAX_SIDE, f"an input width of {self.width}, not 1 to {_MAX_SIDE}")
        require(self.channels in _CHANNELS, f"{self.channels} input channels, neither 1 nor 3")
        require(self.dtype == "uint8", f"an input of {self.dtype}, not uint8")
        require(self.layout == "NHWC", f"an input layout of {self.layout}, not NHWC")

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

    version: int = PREPROCESS_VERSION
    grey: str = "bt601"
    fit: Fit = Fit.LETTERBOX
    fill: int = 0
    interpolation: str = "area"
    polarity: Polarity = Polarity.AS_IS
    exif: str = "apply"
    alpha: str = "over-fill"

    def __post_init__(self) -> None:
        require(
            1 <= self.version <= PREPROCESS_VERSION,
            f"preprocessing version {self.version}; this edge-fm knows up to {PREPROCESS_VERSION}, update it",
        )
        require(0 <= self.fill <= 255, f"a fill of {self.fill}, not 0 to 255")  # noqa: PLR2004
        for name, known in (
            ("grey", "bt601"),
            ("interpolation", "area"),
            ("exif", "apply"),
            ("alpha", "over-fill"),
        ):
            require(getattr(self, name) == known, f"{name} {getattr(self, name)!r}; only {known!r} is known")
