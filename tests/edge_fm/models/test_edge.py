"""Networks of the edge family."""

import pytest

from edge_fm.models import edge
from edge_fm_runtime.artifact.input_spec import InputSpec

SPEC = InputSpec(28, 28, 1)


@pytest.mark.train
@pytest.mark.parametrize("name", edge.WIDTHS)
def test_the_family_is_as_large_as_it_says(name: str) -> None:
    """Each member has the parameters that the zoo states, one softmax for each class, and takes other sizes."""
    from edge_fm.models.zoo import find

    model = edge.build(edge.WIDTHS[name], SPEC, 10, name)
    assert model.count_params() == find(name).parameters
    assert model.output_shape == (None, 10)
    assert edge.build(edge.WIDTHS[name], InputSpec(64, 48, 3), 4, name).output_shape == (None, 4)
