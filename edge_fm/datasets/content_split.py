"""Split pictures into training and test part by the hashes of their bytes.

What stays when a folder grows, shrinks or is renamed: the side of a picture depends on its own bytes and on
those of its near duplicates only, so

- a picture without near duplicates keeps its side, whatever is added or removed;
- a group of near duplicates keeps its side until a picture joins or leaves it, and then has one side again:
  that of the member with the smallest hash, which a newcomer among n pictures becomes with probability 1 / n.

There are two exceptions, because each class needs pictures on both sides. In a class without any group below
the share, or with more than half of its groups below it, the groups nearest to it change sides; with a share
of a fifth that happens to one class of 20 different pictures in 90. And a group with more than half of its
class's pictures is trained on.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_HASH = slice(8, 16)
"""Bytes of a digest that decide the side; the ones before decide whose digest is the smallest."""


def choose_test_part(
    labels: NDArray[np.int64], groups: NDArray[np.int64], digests: Sequence[bytes], share: float
) -> NDArray[np.bool_]:
    """Return whether each picture is in the test part.

    Args:
        labels: (N,) class of each picture.
        groups: (N,) group of near duplicates of each picture; no group is of two classes.
        digests: SHA-256 of each picture's bytes, all different.
        share: expected share of the test part, in (0, 1).

    Returns:
        (N,) bool; at least one group of a class of two or more is in either part.
    """
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        smallest: dict[int, bytes] = {}
        for member in members:
            number, digest = int(groups[member]), digests[int(member)]
            smallest[number] = min(digest, smallest.get(number, digest))
        sizes = Counter(groups[members].tolist())
        places = {number: int.from_bytes(digest[_HASH], "big") / 2**64 for number, digest in smallest.items()}
        ordered = sorted(smallest, key=places.__getitem__)
        allowed = [number for number in ordered if 2 * sizes[number] <= len(members)]
        below = sum(places[number] < share for number in allowed)
        count = min(max(below, 1), len(ordered) // 2, len(allowed))
        chosen[members] = np.isin(groups[members], allowed[:count])
    return chosen
