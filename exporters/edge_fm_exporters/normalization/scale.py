"""Scale of a network's pixels in training."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_fm_runtime.errors import ExportError

OPTIONS = "--scale unit for pixels in [0, 1], raw for [0, 255], standard for (pixel - mean) / deviation"
_KINDS = "unit, raw, standard or standard:MEAN:DEVIATION, such as standard:127.5:127.5 for [-1, 1]"
_WHOLE = 1e-4


@dataclass(frozen=True)
class Scale:
    """Scale from uint8 pixels to a network's inputs: (pixel - mean) / divisor.

    Attributes:
        name: for people.
        mean: of every channel, or one for all.
        divisor: the same; none is zero.
    """

    name: str
    mean: tuple[float, ...]
    divisor: tuple[float, ...]

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the float32 numbers that the network sees for uint8 pixels of shape (..., channels).

        Raises:
            ExportError: there are means for another number of channels.
        """
        if len(self.mean) not in {1, images.shape[-1]}:
            raise ExportError(
                f"--scale {self.name} has {len(self.mean)} means, and the pictures have {images.shape[-1]} channel"
                f"{'s' if images.shape[-1] > 1 else ''}: give one mean and one deviation, or as many as there are channels"
            )
        mean, divisor = np.array(self.mean, np.float32), np.array(self.divisor, np.float32)
        return np.asarray((images.astype(np.float32) - mean) / divisor, np.float32)

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

    @property
    def plain(self) -> bool:
        """Whether it is a product with one number."""
        return not any(self.mean) and len(set(self.divisor)) == 1


UNIT = Scale("unit", (0.0,), (255.0,))
RAW = Scale("raw", (0.0,), (1.0,))


def standard_scale(images: NDArray[np.uint8]) -> Scale:
    """Return the scale that gives each channel of these pictures a mean of 0 and a deviation of 1.

    Args:
        images: (N, height, width, channels) uint8, from the training part.

    Raises:
        ExportError: all pixels of a channel are the same.
    """
    pixels = images.reshape(-1, images.shape[-1]).astype(np.float64)
    mean, deviation = pixels.mean(axis=0), pixels.std(axis=0)
    if not deviation.all():
        raise ExportError(
            "the training pictures have a channel of one shade only: --scale standard needs others"
        )
    return Scale("standard", tuple(map(float, mean)), tuple(map(float, deviation)))


def parse_scale(text: str, training: NDArray[np.uint8] | None) -> Scale:
    """Return what `--scale` says.

    Args:
        text: unit, raw, standard, or standard:MEAN:DEVIATION with a number each, or as many with commas as
            there are channels.
        training: (N, height, width, channels) pictures of the training part, for plain `standard`.

    Raises:
        ExportError: it says nothing that is known, or there are no pictures.
    """
    known = {scale.name: scale for scale in (UNIT, RAW)}
    if text in known:
        return known[text]
    kind, *numbers = text.split(":")
    if kind != "standard" or len(numbers) not in {0, 2}:
        raise ExportError(f"--scale is {text!r}, expected {_KINDS}")
    if not numbers:
        if training is None:
            raise ExportError(
                "--scale standard takes mean and deviation from training pictures: give --data DATA, or both as "
                "--scale standard:MEAN:DEVIATION, in pixels of [0, 255]"
            )
        return standard_scale(training)
    try:
        mean, deviation = (tuple(float(number) for number in part.split(",")) for part in numbers)
        finite = all(map(np.isfinite, (*mean, *deviation))) and min(deviation) > 0
    except ValueError as error:
        raise ExportError(f"--scale is {text!r}, expected {_KINDS}") from error
    if not finite or len(mean) != len(deviation) or len(mean) not in {1, 3}:
        raise ExportError(
            f"--scale {text}: expected as many means as deviations, one or three of each, and deviations above zero"
        )
    return Scale(text, mean, deviation)


def _narrow(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return one number where all are the same."""
    return np.asarray(values[0] if len(set(values.tolist())) == 1 else values, np.float32)
