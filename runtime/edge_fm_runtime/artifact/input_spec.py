"""The part of the passport that preprocessing reads: the input tensor and the preprocessing settings."""

from dataclasses import dataclass
from enum import StrEnum

from edge_fm_runtime.artifact.strict_json import require

PREPROCESS_VERSION = 3
"""Version of the preprocessing in `image/preprocess.py`; it changes when a tensor could change.

A model with an older version runs with this one. Version 2 brings JPEGs decoded at reduced size closer to
their full-size tensors. Version 3 turns images by an EXIF orientation in every container and of every integer
type, shows the fill behind the transparent level of a grey PNG and the transparent pixels of a BMP, and
ignores the colour profile and the animation of a PNG.
"""

_MAX_SIDE = 1024
_CHANNELS = (1, 3)


class Fit(StrEnum):
    """Treatment of images with other proportions than the input."""

    LETTERBOX = "letterbox"  # keep the proportions, centre, fill the rest
    STRETCH = "stretch"
    CROP = "crop"  # keep the proportions, cut the centre


class Polarity(StrEnum):
    """Whether grey levels are inverted after fitting."""

    AS_IS = "as-is"
    INVERT = "invert"


class Interpolation(StrEnum):
    """Filter that shrinks an image to the input's size."""

    AREA = "area"  # the mean over each pixel of the input
    LANCZOS = "lanczos"  # a windowed sinc over six of them, as Pillow resizes, enlarging too


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
        require(self.dtype == "uint8", f"an input of {self.dtype:.60}, not uint8")
        require(self.layout == "NHWC", f"an input layout of {self.layout:.60}, not NHWC")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing settings: how an image becomes the input tensor; read by `image/preprocess.py` only.

    Attributes:
        version: version of the preprocessing; a runner refuses a newer one.
        grey: formula of the grey level: ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B).
        fit: treatment of other proportions.
        fill: grey level in [0, 255] around a letterboxed image and behind transparent pixels.
        interpolation: filter that shrinks; with `area`, enlarging is linear.
        polarity: whether grey levels are inverted, after fitting.
        exif: `apply`: images are turned upright.
        alpha: `over-fill`: transparent pixels are composited over `fill`.
    """

    version: int = PREPROCESS_VERSION
    grey: str = "bt601"
    fit: Fit = Fit.LETTERBOX
    fill: int = 0
    interpolation: Interpolation = Interpolation.AREA
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
            ("exif", "apply"),
            ("alpha", "over-fill"),
        ):
            require(
                getattr(self, name) == known, f"{name} {getattr(self, name)!r:.60}; only {known!r} is known"
            )
