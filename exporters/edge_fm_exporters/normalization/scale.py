"""Scale of a network's pixels in training."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import ExportError

OPTIONS = (
    "--scale unit for pixels in [0, 1], raw for [0, 255], symmetric for [-1, 1], imagenet for ImageNet's mean and "
    "deviation, caffe for BGR less its mean, or standard for (pixel - mean) / deviation of the training pictures"
)
_KINDS = (
    "unit, raw, symmetric, imagenet, caffe, standard or standard:MEAN:DEVIATION, each with -bgr after its name "
    "where the channels are blue, green, red"
)
_WHOLE = 1e-4
_BGR = "-bgr"
_COLOURS = 3


@dataclass(frozen=True)
class Scale:
    """Scale from uint8 pixels to a network's inputs: (pixel - mean) / divisor.

    Attributes:
        name: as in `--scale`.
        mean: of every channel in the network's order, or one for all.
        divisor: the same; none is zero.
        bgr: whether the network takes blue, green, red; pixels are red, green, blue.
    """

    name: str
    mean: tuple[float, ...]
    divisor: tuple[float, ...]
    bgr: bool = False

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the float32 numbers that the network sees for uint8 pixels of shape (..., channels).

        Raises:
            ExportError: it is for another number of channels.
        """
        self._check_channels(images.shape[-1])
        mean, divisor = np.array(self.mean, np.float32), np.array(self.divisor, np.float32)
        ordered = images[..., ::-1] if self.bgr else images
        return np.asarray((ordered.astype(np.float32) - mean) / divisor, np.float32)

    def _check_channels(self, channels: int) -> None:
        if self.bgr and channels != _COLOURS:
            raise ExportError(
                f"--scale {self.name} is for three colours, and the pictures have {channels} channel: give "
                "--scale unit, raw, symmetric or standard"
            )
        if len(self.mean) not in {1, channels}:
            raise ExportError(
                f"--scale {self.name} has {len(self.mean)} means, and the pictures have {channels} channel"
                f"{'s' if channels > 1 else ''}: give one mean and one deviation, or as many as there are channels"
            )

    def in_rgb(self) -> "Scale":
        """Return the scale of a network that takes red, green, blue instead of blue, green, red."""
        return (
            replace(self, mean=self.mean[::-1], divisor=self.divisor[::-1], bgr=False) if self.bgr else self
        )

    def then(self, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> "Scale":
        """Return the scale that does the same and then multiplies by `factor` and adds `offset`.

        Args:
            factor: (channels,) or (1,) float64; none is zero.
            offset: the same.
        """
        divisor = np.asarray(self.divisor) / factor
        mean = np.asarray(self.mean) - offset * divisor
        mean, divisor = np.broadcast_arrays(mean, divisor)
        return replace(self, mean=tuple(map(float, mean)), divisor=tuple(map(float, divisor)))

    @property
    def factor(self) -> NDArray[np.float32]:
        """Factor on (pixel - zero point): () float32, or (channels,) if channels differ."""
        return _narrow(1 / np.asarray(self.divisor))

    @property
    def zero_point(self) -> NDArray[np.uint8] | None:
        """The mean, if it is a pixel's value in every channel; else None."""
        whole = np.rint(self.mean)
        if np.abs(np.asarray(self.mean) - whole).max() > _WHOLE or whole.min() < 0 or whole.max() > 255:  # noqa: PLR2004
            return None
        values = whole.astype(np.uint8)
        return np.asarray(values[0]) if len(set(self.mean)) == 1 else values

    @property
    def offset(self) -> NDArray[np.float32]:
        """Offset where there is no zero point: () float32, or (channels,) if channels differ."""
        return _narrow(-np.asarray(self.mean) / np.asarray(self.divisor))

    @property
    def single(self) -> bool:
        """Whether one factor and one zero point do it for all channels."""
        return self.factor.ndim == 0 and self.zero_point is not None and self.zero_point.ndim == 0


_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's pixels, red, green, blue: 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 times 255."""

UNIT = Scale("unit", (0.0,), (255.0,))
RAW = Scale("raw", (0.0,), (1.0,))
SYMMETRIC = Scale("symmetric", (127.5,), (127.5,))
IMAGENET = Scale("imagenet", _MEAN, _DEVIATION)
CAFFE = Scale("caffe", (103.939, 116.779, 123.68), (1.0,) * _COLOURS, bgr=True)
_NAMED = {scale.name: scale for scale in (UNIT, RAW, SYMMETRIC, IMAGENET, CAFFE)}

STANDARD = "standard"
STANDARDS = (STANDARD, f"{STANDARD}{_BGR}")
"""Scales that take mean and deviation from pictures."""

LIKELY = (UNIT.name, RAW.name, SYMMETRIC.name, STANDARD)
"""Scales to try on grey pictures."""
LIKELY_IN_COLOUR = (
    *(UNIT.name, RAW.name, SYMMETRIC.name, IMAGENET.name),
    *(f"{scale}{_BGR}" for scale in (UNIT, RAW, SYMMETRIC, IMAGENET)),
    CAFFE.name,
    STANDARD,
)
"""Scales to try on pictures of three channels."""


def standard_scale(images: NDArray[np.uint8]) -> Scale:
    """Return the scale that gives each channel of these pictures a mean of 0 and a deviation of 1.

    Args:
        images: (N, height, width, channels) uint8, from the training part.

    Raises:
        ExportError: all pixels of a channel are the same.
    """
    # Counts of the grey levels are exact and, unlike a float64 copy of all pixels, take no memory.
    counts = [np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(images.shape[3])]
    levels, total = np.arange(256), images[..., 0].size
    mean = np.array([count @ levels / total for count in counts])
    deviation = np.sqrt([count @ (levels - m) ** 2 / total for count, m in zip(counts, mean, strict=True)])
    if not deviation.all():
        raise ExportError(
            "the training pictures have a channel of one shade only: --scale standard needs others"
        )
    return Scale(STANDARD, tuple(map(float, mean)), tuple(map(float, deviation)))


def parse_scale(text: str, training: NDArray[np.uint8] | None) -> Scale:
    """Return what `--scale` says.

    Args:
        text: unit, raw, symmetric, imagenet, caffe, standard, or standard:MEAN:DEVIATION with a number each,
            or as many with commas as there are channels, red first; `-bgr` after a name gives the network
            blue first.
        training: (N, height, width, channels) pictures of the training part, for plain `standard`.

    Raises:
        ExportError: it says nothing that is known, or there are no pictures.
    """
    kind, *numbers = text.split(":")
    name = kind.removesuffix(_BGR)
    if name not in {*_NAMED, STANDARD} or (numbers and name != STANDARD) or len(numbers) not in {0, 2}:
        raise ExportError(f"--scale is {text!r}, expected {_KINDS}")
    if name in _NAMED:
        scale = _NAMED[name]
    elif numbers:
        scale = _with_numbers(text, numbers)
    elif training is not None:
        scale = standard_scale(training)
    else:
        raise ExportError(
            "--scale standard takes mean and deviation from training pictures: give --data DATA, or both as "
            "--scale standard:MEAN:DEVIATION, in pixels of [0, 255]"
        )
    if name == kind or scale.bgr:
        return scale
    return replace(scale, name=text, mean=scale.mean[::-1], divisor=scale.divisor[::-1], bgr=True)


def _with_numbers(text: str, numbers: list[str]) -> Scale:
    """Return the scale of standard:MEAN:DEVIATION."""
    try:
        mean, deviation = (tuple(float(number) for number in part.split(",")) for part in numbers)
        finite = all(map(np.isfinite, (*mean, *deviation))) and min(deviation) > 0
    except ValueError as error:
        raise ExportError(f"--scale is {text!r}, expected {_KINDS}") from error
    if not finite or len(mean) != len(deviation) or len(mean) not in {1, _COLOURS}:
        raise ExportError(
            f"--scale {text}: expected as many means as deviations, one or three of each, and deviations above zero"
        )
    return Scale(text, mean, deviation)


def _narrow(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return one number where all are the same."""
    return np.asarray(values[0] if len(set(values.tolist())) == 1 else values, np.float32)
