"""What a ray that hit something sees: colour for cameras, reflectance for LiDARs."""
from typing import NamedTuple, Tuple

import numpy as np

from .noise import fractal_noise, jit, value_noise
from .primitives import BOX, CYLINDER, Primitives
from .raycast import GROUND, SKY
from .texture import Materials, pattern_at

ROAD, VERGE, SIDEWALK, MARKING, PATCH = range(5)  # rows in Materials that the ground uses
SHADOW_ORIGIN = (-60.0, -60.0)  # metres: corner of the shadow map
SHADOW_CELL = 0.2  # metres


class Ground(NamedTuple):
    """The plane z = 0: a road along x that bends, its markings, side strips and what lies beyond."""
    bend: float  # the road's centre is at y = bend * x^2 / 2 (1/m)
    half_width: float  # of the road
    num_lanes: int
    marking_width: float
    dash: float  # length of a dash
    gap: float  # between dashes; 0: a full line
    edge_line: float  # distance of the edge line from the kerb; negative: none
    sidewalk: float  # width; 0: none
    crossing: float  # x at which a zebra crossing starts; far away: none
    side_road: float  # x of a crossing road's middle; far away: none
    patch_share: float  # share of the road mended in another tone


class Light(NamedTuple):
    """Sun, sky and clouds; colours are BGR."""
    sun: np.ndarray  # (3,) unit vector towards it
    sun_colour: np.ndarray  # (3,)
    ambient: np.ndarray  # (3,)
    horizon: np.ndarray  # (3,) sky colour
    zenith: np.ndarray  # (3,)
    cloud: np.ndarray  # (3,)
    cloud_cover: float  # 0..1
    cloud_scale: float
    cloud_seed: int


@jit
def road_centre(x: float, bend: float) -> float:
    """y of the road's middle at x, metres; flattens out far away so that it stays a road."""
    reach = min(abs(x), 80.0)
    return 0.5 * bend * reach * reach + bend * reach * (abs(x) - reach)


@jit
def _marking(ground: Ground, x: float, offset: float) -> bool:
    """Whether paint lies on the road at x, ``offset`` metres left of its middle."""
    half = 0.5 * ground.marking_width
    if 0.0 <= x - ground.crossing < 3.0:
        return offset - np.floor(offset) < 0.5
    if ground.edge_line >= 0.0 and abs(abs(offset) - (ground.half_width - ground.edge_line)) < half:
        return True
    lane = 2.0 * ground.half_width / ground.num_lanes
    number = np.round((offset + ground.half_width) / lane)
    if number < 1 or number > ground.num_lanes - 1:
        return False
    period = ground.dash + ground.gap
    return abs(offset + ground.half_width - number * lane) < half and x - period * np.floor(
        x / period) < ground.dash


@jit
def ground_zone(ground: Ground, x: float, y: float) -> int:
    """The kind of ground at (x, y): a row in Materials."""
    offset = y - road_centre(x, ground.bend)
    if abs(offset) <= ground.half_width:
        if _marking(ground, x, offset):
            return MARKING
        if ground.patch_share > 0.0 and value_noise(0.25 * x, 0.6 * offset, 0.0, 3) < ground.patch_share:
            return PATCH
        return ROAD
    if abs(x - ground.side_road) < 3.5:
        return ROAD
    if abs(offset) <= ground.half_width + ground.sidewalk:
        return SIDEWALK
    return VERGE


@jit
def _box_face(unit, half, p):
    """Coordinates along the face of a box and its normal's axis and sign."""
    axis = 0
    for k in range(1, 3):
        if abs(unit[k]) > abs(unit[axis]):
            axis = k
    sign = 1.0 if unit[axis] > 0 else -1.0
    if axis == 0:
        return p[1] + half[1], p[2] + half[2], axis, sign
    if axis == 1:
        return p[0] + half[0], p[2] + half[2], axis, sign
    return p[0] + half[0], p[1] + half[1], axis, sign


@jit
def _solid_surface(primitives: Primitives, i: int, point, local, unit, normal) -> Tuple[float, float]:
    """Surface coordinates of ``point`` on solid ``i``; fills ``local`` and ``normal`` (world frame)."""
    rotation, half = primitives.rotation[i], primitives.half_size[i]
    for k in range(3):
        local[k] = 0.0
        for j in range(3):
            local[k] += rotation[j, k] * (point[j] - primitives.centre[i, j])
        unit[k] = local[k] / half[k]
    if primitives.kind[i] == BOX:
        u, v, axis, sign = _box_face(unit, half, local)
        for k in range(3):
            normal[k] = rotation[k, axis] * sign
        return u, v
    u = np.arctan2(unit[1], unit[0]) * 0.5 * (half[0] + half[1])
    tube = primitives.kind[i] == CYLINDER
    cap = tube and abs(unit[2]) > 0.9999
    length = 0.0
    for k in range(3):
        normal[k] = 0.0
        for j in range(3):
            in_use = (j == 2) if cap else (j < 2 or not tube)
            if in_use:
                normal[k] += rotation[k, j] * unit[j] / half[j]
        length += normal[k] * normal[k]
    length = np.sqrt(length) + 1e-12
    for k in range(3):
        normal[k] /= length
    return u, local[2] + half[2]


@jit
def _surface(primitives: Primitives, materials: Materials, ground: Ground, hit: int, point, footprint,
             local, unit, normal) -> Tuple[int, float, float]:
    """(material, mix, brightness) of the point hit; fills ``normal``."""
    if hit == GROUND:
        normal[0], normal[1], normal[2] = 0.0, 0.0, 1.0
        x, y = point[0], point[1]
        m = ground_zone(ground, x, y)
        mix, brightness = pattern_at(materials, m, x, y, x, y, 0.0, footprint)
        return m, mix, brightness
    u, v = _solid_surface(primitives, hit, point, local, unit, normal)
    m = primitives.material[hit]
    mix, brightness = pattern_at(materials, m, u, v, local[0], local[1], local[2], footprint)
    if primitives.cutout[hit] > 0.0:  # leaves face all ways
        brightness *= 0.5 + fractal_noise(5 * local[0], 5 * local[1], 5 * local[2], 17, 2)
    return m, mix, brightness


@jit
def _sky(light: Light, dx: float, dy: float, dz: float, colour) -> None:
    """Colour of the sky in a direction."""
    height = max(dz, 0.0)
    blend = min(np.sqrt(height) * 1.4, 1.0)
    scale = light.cloud_scale / (height + 0.12)
    noise = fractal_noise(dx * scale, dy * scale, 0.0, light.cloud_seed, 4)
    clouds = min(max((noise - 1.0 + light.cloud_cover) * 3.0, 0.0), 1.0)
    towards = max(dx * light.sun[0] + dy * light.sun[1] + dz * light.sun[2], 0.0)
    halo = 0.35 * towards**16
    for k in range(3):
        clear = light.horizon[k] + (light.zenith[k] - light.horizon[k]) * blend
        colour[k] = clear + (light.cloud[k] - clear) * clouds + halo * light.sun_colour[k]


@jit
def _shadow(shadow_map, x: float, y: float) -> float:
    """Share of sunlight that reaches the ground at (x, y)."""
    column = int((x - SHADOW_ORIGIN[0]) / SHADOW_CELL)
    row = int((y - SHADOW_ORIGIN[1]) / SHADOW_CELL)
    if x < SHADOW_ORIGIN[0] or y < SHADOW_ORIGIN[1] or row >= shadow_map.shape[0] or \
            column >= shadow_map.shape[1]:
        return 1.0
    return 1.0 - shadow_map[row, column] / 255.0


@jit
def shade_image(primitives: Primitives, materials: Materials, ground: Ground, light: Light,
                shadow_map: np.ndarray, origin: np.ndarray, directions: np.ndarray,
                distance: np.ndarray, hit: np.ndarray, active: np.ndarray,
                pixel_angle: float) -> np.ndarray:
    """Linear BGR colours (H, W, 3) of the rays that ``raycast.cast_rays`` followed.

    Args:
        shadow_map: uint8 (rows along y, columns along x), 255 where the ground is in shadow.
        origin: (3,) of the rays; ``directions`` (H, W, 3), ``distance``, ``hit``, ``active`` (H, W).
        pixel_angle: Angle between neighbouring rays, radians.
    """
    rows, cols = hit.shape
    image = np.zeros((rows, cols, 3))
    point, local, unit, normal = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for r in range(rows):
        for c in range(cols):
            if not active[r, c]:
                continue
            d = directions[r, c]
            if hit[r, c] == SKY:
                _sky(light, d[0], d[1], d[2], image[r, c])
                continue
            t = distance[r, c]
            for k in range(3):
                point[k] = origin[k] + t * d[k]
            slope = abs(d[2]) if hit[r, c] == GROUND else 1.0
            footprint = t * pixel_angle / max(np.sqrt(slope), 0.05)
            m, mix, brightness = _surface(primitives, materials, ground, hit[r, c], point, footprint,
                                          local, unit, normal)
            lit = max(normal[0] * light.sun[0] + normal[1] * light.sun[1] + normal[2] * light.sun[2], 0.0)
            open_sky = 0.75 + 0.25 * normal[2]
            if hit[r, c] == GROUND:
                sunlight = _shadow(shadow_map, point[0], point[1])
                lit *= sunlight
                open_sky *= 0.6 + 0.4 * sunlight
            elif point[2] < 0.4:  # little light reaches the foot of things
                open_sky *= 0.6 + max(point[2], 0.0)
            for k in range(3):
                albedo = materials.colours[m, 0, k] * (1.0 - mix) + materials.colours[m, 1, k] * mix
                power = light.ambient[k] * open_sky + light.sun_colour[k] * lit
                image[r, c, k] = albedo * brightness * max(power, materials.glow[m] * mix)
    return image


@jit
def lidar_reflectance(primitives: Primitives, materials: Materials, ground: Ground, origin: np.ndarray,
                      directions: np.ndarray, distance: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Share of a LiDAR pulse (0..1, Lambert's law) that each ray's surface sends back, (H, W)."""
    rows, cols = hit.shape
    result = np.zeros((rows, cols))
    point, local, unit, normal = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for r in range(rows):
        for c in range(cols):
            if hit[r, c] == SKY:
                continue
            d = directions[r, c]
            for k in range(3):
                point[k] = origin[k] + distance[r, c] * d[k]
            m, mix, brightness = _surface(primitives, materials, ground, hit[r, c], point, 0.0, local,
                                          unit, normal)
            facing = abs(normal[0] * d[0] + normal[1] * d[1] + normal[2] * d[2])
            share = materials.reflectance[m, 0] * (1.0 - mix) + materials.reflectance[m, 1] * mix
            result[r, c] = min(share * brightness * (0.3 + 0.7 * facing), 1.0)
    return result
