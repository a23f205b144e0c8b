"""Properties of an image that its header states; `formats` has the readers."""

from dataclasses import dataclass
from enum import StrEnum

from edge_fm_runtime.image import exif


class ImageFormat(StrEnum):
    """Supported image formats."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    BMP = "BMP"


@dataclass(frozen=True)
class Header:
    """Properties of an image, read from its header.

    Attributes:
        format: format of the file.
        width: stored width in pixels.
        height: stored height in pixels.
        has_alpha: whether pixels may be transparent.
        orientation: EXIF orientation, 1 to 8; see `exif`.
        transparent_grey: grey level, as OpenCV decodes it, that is transparent in a grey PNG, if one is.
    """

    format: ImageFormat
    width: int
    height: int
    has_alpha: bool
    orientation: int = exif.UPRIGHT
    transparent_grey: int | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width in pixels of the image turned upright."""
        return (self.width, self.height) if exif.is_sideways(self.orientation) else (self.height, self.width)
