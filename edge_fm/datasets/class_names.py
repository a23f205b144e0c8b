"""Class names of the built-in data sets, and their translations."""

GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Class names of Fashion-MNIST, in its order (https://github.com/zalandoresearch/fashion-mnist)."""

DIGITS = tuple("0123456789")

TRANSLATIONS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    GARMENTS: {
        "ko": ("티셔츠", "바지", "스웨터", "드레스", "코트", "샌들", "셔츠", "스니커즈", "가방", "앵클 부츠"),
    },
}
"""Translations by language code, for each tuple of class names."""
