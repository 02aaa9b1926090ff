"""A scene's solids as one sensor sees them, for the ray caster to find candidates quickly."""
import numpy as np

from .primitives import corners

VIEW = np.dtype([
    ('index', 'i8'),  # number among the scene's primitives
    ('kind', 'i8'),
    ('unit_origin', 'f8', 3),  # the sensor in the frame of the unit solid
    ('world_to_unit', 'f8', (3, 3)),  # takes directions into that frame
    ('half_size', 'f8', 3),
    ('cutout', 'f8'),
    ('azimuth', 'f8'), ('spread', 'f8'),  # middle and half width of its azimuths, radians
    ('lowest', 'f8'), ('highest', 'f8'),  # elevation, radians
    ('near', 'f8'),  # distance to the bounding box, metres
])
_MARGIN = 1e-6  # radians


def _set_azimuths(view: np.ndarray, offset: np.ndarray, centre: np.ndarray) -> None:
    """Azimuth range of corners ``offset`` (N, 8, 3) about ``centre`` (N, 3)."""
    middle = np.arctan2(centre[:, 1], centre[:, 0])
    relative = np.arctan2(offset[..., 1], offset[..., 0]) - middle[:, None]
    relative = (relative + np.pi) % (2 * np.pi) - np.pi
    low, high = relative.min(1), relative.max(1)
    # A footprint that spans half a turn or more has the sensor inside it, above it or below it.
    view['spread'] = np.where(high - low >= np.pi - 1e-3, np.pi, (high - low) / 2 + _MARGIN)
    view['azimuth'] = middle + (low + high) / 2


def _set_elevations(view: np.ndarray, offset: np.ndarray, least_radius: np.ndarray) -> None:
    """Bounds of the elevation of anything between the lowest and the highest corner."""
    largest_radius = np.hypot(offset[..., 0], offset[..., 1]).max(1)
    bottom, top = offset[..., 2].min(1), offset[..., 2].max(1)
    low_radius = np.where(bottom < 0, least_radius, largest_radius)
    high_radius = np.where(top > 0, least_radius, largest_radius)
    view['lowest'] = np.arctan2(bottom, low_radius) - _MARGIN
    view['highest'] = np.arctan2(top, high_radius) + _MARGIN


def prepare_view(primitives: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """VIEW records (N,), from near to far, for rays that start at ``origin`` (3,), world frame."""
    view = np.empty(len(primitives), dtype=VIEW)
    rotation, half_size = primitives['rotation'], primitives['half_size']
    centre, offset = primitives['centre'] - origin, corners(primitives) - origin
    local_origin = -np.einsum('nji,nj->ni', rotation, centre)
    excess = np.maximum(np.abs(local_origin) - half_size, 0)
    # Horizontal distance to the solid: exact for upright ones, else to the circle about it.
    circle = np.hypot(centre[:, 0], centre[:, 1]) - np.linalg.norm(half_size, axis=1)
    upright = rotation[:, 2, 2] > 1 - 1e-9
    least_radius = np.where(upright, np.hypot(excess[:, 0], excess[:, 1]), np.maximum(circle, 0))
    view['index'], view['kind'] = np.arange(len(view)), primitives['kind']
    view['unit_origin'] = local_origin / half_size
    view['world_to_unit'] = rotation.transpose(0, 2, 1) / half_size[:, :, None]
    view['half_size'], view['cutout'] = half_size, primitives['cutout']
    view['near'] = np.linalg.norm(excess, axis=1)
    _set_azimuths(view, offset, centre)
    _set_elevations(view, offset, least_radius)
    return view[np.argsort(view['near'], kind='stable')]
