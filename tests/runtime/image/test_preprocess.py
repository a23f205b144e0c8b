"""Preprocessing against references that share no code with it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Polarity, Preprocess
from edge_fm_runtime.errors import InputError
from edge_fm_runtime.image import exif, preprocess
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.status import Status
from tests.pictures import encoded, exif_block, png_chunk, with_exif

GREY_28, RGB_28 = InputSpec(28, 28, 1), InputSpec(28, 28, 3)
DEFAULT = Preprocess()


def tensor(data: bytes, spec: InputSpec = GREY_28, preprocessing: Preprocess = DEFAULT) -> NDArray[np.uint8]:
    """Return the tensor, without its channel axis if it has one channel."""
    made = preprocess.tensor_from_bytes(data, spec, preprocessing)
    assert made.shape == spec.shape
    assert made.dtype == np.uint8
    return made[..., 0] if spec.channels == 1 else made


def block_means(image: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Return the mean of each block, the definition of shrinking by area."""
    factor = image.shape[0] // size
    return image.reshape(size, factor, -1, factor).astype(np.float64).mean(axis=(1, 3))


def test_shrinking_is_the_mean_of_each_area() -> None:
    """An image four times as large becomes block means, not single pixels."""
    image = np.random.default_rng(0).integers(0, 256, (112, 112), np.uint8)
    assert np.abs(tensor(encoded(image)) - block_means(image, 28)).max() <= 0.5 + 1e-9


def test_an_image_of_the_input_size_is_unchanged() -> None:
    """Images of a data set pass through bit for bit."""
    image = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    np.testing.assert_array_equal(tensor(encoded(image)), image)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"), [(56, 28, 28, 14), (28, 56, 14, 28), (400, 533, 21, 28)]
)
def test_letterbox_centres_and_fills(height: int, width: int, rows: int, columns: int) -> None:
    """Proportions are kept, the image is centred, and the rest has the grey level of the fill."""
    white = encoded(np.full((height, width), 255, np.uint8))
    made = tensor(white, preprocessing=Preprocess(fill=9))
    top, left = (28 - rows) // 2, (28 - columns) // 2
    expected = np.full((28, 28), 9)
    expected[top : top + rows, left : left + columns] = 255
    np.testing.assert_array_equal(made, expected)


def test_stretch_and_crop() -> None:
    """Stretching uses all of a wide image, cropping only its centre."""
    image = np.zeros((28, 84), np.uint8)
    image[:, 28:56] = 255
    assert tensor(encoded(image), preprocessing=Preprocess(fit=Fit.CROP)).min() == 255
    stretched = tensor(encoded(image), preprocessing=Preprocess(fit=Fit.STRETCH))
    assert stretched[:, :9].max() == 0
    assert stretched[:, 10:18].min() == 255


def test_enlarging_a_single_pixel() -> None:
    """An image of one pixel fills the input."""
    assert (tensor(encoded(np.full((1, 1), 77, np.uint8))) == 77).all()


def test_inverting_happens_after_fitting() -> None:
    """The fill is inverted with the rest, as in training."""
    image = np.full((28, 14), 200, np.uint8)
    made = tensor(encoded(image), preprocessing=Preprocess(polarity=Polarity.INVERT))
    assert set(np.unique(made)) == {55, 255}


def test_sixteen_bits_become_eight() -> None:
    """A 16-bit PNG keeps its upper byte."""
    image = np.random.default_rng(2).integers(0, 65536, (28, 28), np.uint16)
    assert np.abs(tensor(encoded(image)).astype(int) - (image >> 8)).max() <= 1


def test_transparent_pixels_show_the_fill() -> None:
    """Transparent pixels have the level of the fill, half-transparent ones the mean of both."""
    image = np.full((28, 28, 4), 255, np.uint8)
    image[:, :14, 3] = 0
    image[:, 14:20, 3] = 128
    made = tensor(encoded(image), preprocessing=Preprocess(fill=40))
    assert (made[:, :14] == 40).all()
    assert (made[:, 14:20] == round(255 * 128 / 255 + 40 * 127 / 255)).all()
    assert (made[:, 20:] == 255).all()


def test_transparent_sixteen_bits() -> None:
    """16-bit alpha works like 8-bit alpha."""
    image = np.full((28, 28, 4), 65535, np.uint16)
    image[:, :14, 3] = 0
    made = tensor(encoded(image))
    assert (made[:, :14] == 0).all()
    assert (made[:, 14:] == 255).all()


def test_palette_png() -> None:
    """The colours of a palette count, not its indices."""
    header = png_chunk(b"IHDR", b"\0\0\0\x1c\0\0\0\x1c\x08\x03\0\0\0")
    import zlib

    pixels = zlib.compress(b"".join(b"\0" + b"\x01" * 28 for _ in range(28)))
    png = (
        b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"PLTE", b"\0\0\0\xc8\xc8\xc8") + png_chunk(b"IDAT", pixels)
    )
    assert (tensor(png + png_chunk(b"IEND", b"")) == 200).all()


def test_grey_is_bt601() -> None:
    """Pure red, green and blue become 76, 150 and 29."""
    for position, grey in ((2, 76), (1, 150), (0, 29)):
        image = np.zeros((28, 28, 3), np.uint8)
        image[..., position] = 255
        assert np.abs(tensor(encoded(image)).astype(int) - grey).max() <= 1


def test_three_channels_are_rgb() -> None:
    """The tensor is in red, green, blue order."""
    image = np.zeros((28, 28, 3), np.uint8)
    image[..., 2] = 255  # red in OpenCV's order
    for data in (encoded(image), encoded(np.dstack([image, np.full((28, 28), 255, np.uint8)]))):
        assert tensor(data, RGB_28)[5, 5].tolist() == [255, 0, 0]
    assert tensor(encoded(np.full((28, 28), 9, np.uint8)), RGB_28)[0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [112, 448])
def test_exif_turns_a_jpeg_upright(orientation: int, size: int) -> None:
    """All eight orientations give the same tensor, at full and at reduced size."""
    upright = np.zeros((size, size), np.uint8)
    upright[: size // 2, : size // 2] = 255
    upright[size // 2 :, : size // 4] = 120
    stored = _stored(upright, orientation)
    made = tensor(with_exif(encoded(stored, ".jpg"), orientation))
    assert np.abs(made.astype(int) - block_means(upright, 28)).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_transparent_png_upright(orientation: int) -> None:
    """EXIF is also applied to images with alpha, for which OpenCV ignores it."""
    upright = np.full((28, 28, 4), 255, np.uint8)
    upright[:14, :14, :3] = 0
    upright[14:, :7, :3] = 100
    png = encoded(_stored(upright, orientation))
    made = tensor(png[:33] + png_chunk(b"eXIf", exif_block(orientation)) + png[33:])
    np.testing.assert_array_equal(made, upright[..., 0])


def _stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return the pixels that an orientation turns into `upright`, by NumPy alone (EXIF 2.32, table 6)."""
    flipped = {1: 0, 2: 1, 3: 0, 4: 1, 5: 1, 6: 0, 7: 1, 8: 0}[orientation]
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]
    turned = np.rot90(upright, turns)
    if flipped:
        turned = turned[:, ::-1] if orientation in {2, 4} else turned[::-1]
    return np.ascontiguousarray(turned)


def test_a_broken_exif_block_is_ignored() -> None:
    """An image with damaged metadata is taken as upright."""
    for block in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"garbage!", exif_block(1)[:-8], exif_block(99)):
        assert exif.orientation(block) == 1


@pytest.mark.parametrize(
    ("width", "height", "pixels"),
    [(111, 90, math.inf), (112, 90, 2), (400, 533, 533 / 28 / 8), (4000, 3000, 500 / 28)],
)
def test_reduction_keeps_two_pixels_per_input_pixel(width: int, height: int, pixels: float) -> None:
    """Only JPEGs are decoded at reduced size, with at least two pixels per input pixel."""
    image = np.zeros((height, width), np.uint8)
    found = preprocess.pixels_per_input_pixel(encoded(image, ".jpg"), GREY_28, DEFAULT)
    assert found == pytest.approx(pixels, rel=0.02)  # the size in the input is rounded to whole pixels
    assert preprocess.pixels_per_input_pixel(encoded(image), GREY_28, DEFAULT) == math.inf


@pytest.mark.parametrize("fit", Fit)
def test_a_long_image_is_not_decoded_too_small(fit: Fit) -> None:
    """The shorter side limits the reduction too: by the longer one, 1,200 x 60 would become 150 x 8."""
    jpeg = encoded(np.random.default_rng(5).integers(0, 256, (60, 1200), np.uint8), ".jpg")
    assert preprocess.pixels_per_input_pixel(jpeg, GREY_28, Preprocess(fit=fit)) >= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("size", [(533, 400), (421, 333), (130, 127)])
def test_reduced_decoding_stays_close(orientation: int, fit: Fit, size: tuple[int, int]) -> None:
    """Reduced decoding differs by a third of a level from full size, for any orientation and fit."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    jpeg = encoded((127 + 60 * np.sin(x / 17) * np.cos(y / 23) + 0.1 * x).astype(np.uint8), ".jpg")
    jpeg, preprocessing = with_exif(jpeg, orientation), Preprocess(fit=fit)
    full = preprocess.tensor_from_bytes(jpeg, GREY_28, preprocessing, full_scale=True)[..., 0]
    assert preprocess.pixels_per_input_pixel(jpeg, GREY_28, preprocessing) < 5
    assert np.abs(tensor(jpeg, preprocessing=preprocessing).astype(int) - full).mean() < 0.33


def test_full_scale_is_shrinking_by_area() -> None:
    """A JPEG decoded at full size gives the result of OpenCV's area resize, up to rounding."""
    for height, width in ((533, 400), (40, 61), (1700, 1300)):
        image = np.random.default_rng(height).integers(0, 256, (height, width), np.uint8)
        jpeg, preprocessing = encoded(image, ".jpg"), Preprocess(fit=Fit.STRETCH)
        full = preprocess.tensor_from_bytes(jpeg, GREY_28, preprocessing, full_scale=True)[..., 0].astype(int)
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
        difference = np.abs(full - cv2.resize(decoded, (28, 28), interpolation=cv2.INTER_AREA))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


def test_colours_are_shrunk_alike() -> None:
    """Reduced decoding is as close to full size for three channels as for one."""
    y, x = np.mgrid[0:533, 0:400]
    waves = [127 + 60 * np.sin(x / 31 + shift) * np.cos(y / 41) for shift in (0, 1, 2)]
    jpeg = encoded(np.stack(waves, axis=-1).astype(np.uint8), ".jpg")
    full = preprocess.tensor_from_bytes(jpeg, RGB_28, DEFAULT, full_scale=True)
    assert np.abs(tensor(jpeg, RGB_28).astype(int) - full).mean() < 0.5


def test_a_frame_and_its_lossless_file_agree() -> None:
    """A camera frame gives the same tensor as a lossless file of it."""
    frame = np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)
    for spec in (GREY_28, RGB_28):
        from_frame = preprocess.tensor_from_frame(frame, spec, DEFAULT)
        from_file = preprocess.tensor_from_bytes(encoded(frame), spec, DEFAULT)
        assert np.abs(from_frame.astype(int) - from_file).max() <= 1


def test_damage_and_truncation_differ() -> None:
    """A cut JPEG is `truncated`, and a PNG with a broken middle is `unreadable`."""
    jpeg = encoded(np.random.default_rng(4).integers(0, 256, (300, 300), np.uint8), ".jpg")
    with pytest.raises(InputError) as caught:
        tensor(jpeg[: len(jpeg) // 2])
    assert caught.value.status is Status.TRUNCATED
    png = bytearray(encoded(np.zeros((40, 40), np.uint8)))
    png[50] ^= 0xFF
    with pytest.raises(InputError) as caught:
        tensor(bytes(png))
    assert caught.value.status is Status.UNREADABLE


def test_opencv_has_the_pixel_limit() -> None:
    """OpenCV itself refuses an image over the pixel limit, without the guard."""
    header = png_chunk(b"IHDR", b"\0\0\x80\0\0\0\x80\0\x01\0\0\0\0")
    png = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"x") + png_chunk(b"IEND", b"")
    with pytest.raises(cv2.error):
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("width", range(395, 412))
@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_keeps_the_letterbox(width: int, orientation: int) -> None:
    """The letterbox has the same position as at full size, whatever the reduced size rounds to."""
    white = with_exif(encoded(np.full((533, width), 255, np.uint8), ".jpg"), orientation)
    full = preprocess.tensor_from_bytes(white, GREY_28, DEFAULT, full_scale=True)
    np.testing.assert_array_equal(preprocess.tensor_from_bytes(white, GREY_28, DEFAULT), full)
