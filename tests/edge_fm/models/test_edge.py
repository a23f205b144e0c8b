"""Networks of the edge family."""

import pytest

from edge_fm.models import edge
from edge_fm_runtime.artifact.input_spec import InputSpec

SPEC = InputSpec(28, 28, 1)


@pytest.mark.train
@pytest.mark.parametrize("name", edge.WIDTHS)
def test_networks_have_the_stated_size(name: str) -> None:
    """Each has the parameters stated in the zoo, one output per class, and builds for other sizes."""
    from edge_fm.models.zoo import find

    model = edge.build(edge.WIDTHS[name], SPEC, 10, name)
    assert model.count_params() == find(name).parameters
    assert model.output_shape == (None, 10)
    assert edge.build(edge.WIDTHS[name], InputSpec(64, 48, 3), 4, name).output_shape == (None, 4)
