"""How Keras and TensorFlow are begun."""

import pytest

from edge_fm_exporters import framework

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


@pytest.mark.parametrize(
    ("features", "set_by_user", "expected"),
    [
        ({"sse4_2", "avx2", "fma"}, {}, {_ONEDNN: "1"}),
        ({"sse4_2", "avx2", "fma"}, {_ONEDNN: "0"}, {_ONEDNN: "0"}),
        ({"avx2", "avx512f", "avx512_vnni"}, {}, {}),
        ({"asimd", "asimddp"}, {}, {}),
        (set(), {}, {}),
    ],
    ids=["avx2", "the user's word", "avx512", "arm", "not told"],
)
def test_onednn_convolves_where_it_is_faster_and_safe(
    features: set[str], set_by_user: dict[str, str], expected: dict[str, str]
) -> None:
    """It is asked for on a processor of AVX2 and nothing wider, unless the user has chosen; elsewhere TensorFlow decides."""
    environment = dict(set_by_user)
    framework.prefer_onednn(features, environment)
    assert environment == expected
