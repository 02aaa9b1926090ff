"""The 26 cells around a point, in the order in which their occupancy is stored.

The axes are those of one who stands at the LiDAR and looks at the point along the ground: away, left and up. So a cell
has the same number wherever the point lies around the LiDAR; in a mirrored image left and right change places.
"""
from itertools import product

import torch
from torch import Tensor

STEPS = tuple(step for step in product((-1, 0, 1), repeat=3) if any(step))
"""Of each cell from the point, in cells: (away, left, up)."""

NUM_CELLS = len(STEPS)

_MIRRORED = [STEPS.index((away, -left, up)) for away, left, up in STEPS]


def mirror_cells(occupancy: Tensor) -> Tensor:
    """Occupancy (..., S * 26) of cells of S sizes, with left and right exchanged."""
    cells = occupancy.unflatten(-1, (-1, NUM_CELLS)).unbind(-1)
    # An index would have to be copied to a GPU, for which the host waits.
    return torch.stack([cells[number] for number in _MIRRORED], dim=-1).flatten(-2)
