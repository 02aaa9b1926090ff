"""Everything that runs once per ray, compiled by numba: first hits, surface patterns, shading.

All compiled functions are in this one file because numba's cache on disk is renewed only when the
file of the called function changes. Solids, materials, ground and light are records (structured
arrays; see ``PRIMITIVE``, ``VIEW``, ``MATERIAL``, ``GROUND`` and ``LIGHT``): a record costs no
reference counting, which for tuples of arrays takes most of the time. Lengths in metres, world
frame x forward along the road, y left, z up, ground at z = 0; colours are BGR.
"""
from functools import partial

import numpy as np

from ..jit import njit

# Solids, as unit shapes: the cube [-1, 1]^3, the unit sphere, the unit cylinder along z.
BOX, ELLIPSOID, CYLINDER = 0, 1, 2
# What a ray hits if no solid.
SKY, GROUND_PLANE = -1, -2
# Patterns of materials.
PLAIN, MOTTLED, STRIPES, BARS, DIAGONAL, CHECKER, WINDOWS, BRICKS, WAVES = range(9)
# Kinds of ground: the first rows of a scene's materials.
ROAD, VERGE, SIDEWALK, MARKING, PATCH = range(5)

SHADOW_EDGE = 60.0  # the shadow map covers x and y from -SHADOW_EDGE to SHADOW_EDGE
SHADOW_CELL = 0.2  # its resolution

_TILE = 8  # rays
_EPSILON = 1e-6
_LEAF = 0.14  # size of the holes in foliage
_GRAIN = 0.25  # size of the spots that are on every surface

jit = partial(njit, nogil=True, error_model='numpy')

# ---- Noise ---------------------------------------------------------------------------------------


@jit
def _hash_unit(ix: int, iy: int, iz: int, seed: int) -> float:
    """A fixed pseudo-random number in [0, 1) for each lattice point and seed."""
    h = (ix * 374761393 + iy * 668265263 + iz * 1440662683 + seed * 974634623) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    return (h ^ (h >> 16)) / 4294967296.0


@jit
def value_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in [0, 1): lattice values (one per unit length), blended by smoothstep."""
    x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
    fx, fy, fz = x - x0, y - y0, z - z0
    wx = fx * fx * (3.0 - 2.0 * fx)
    wy = fy * fy * (3.0 - 2.0 * fy)
    wz = fz * fz * (3.0 - 2.0 * fz)
    ix, iy, iz = int(x0), int(y0), int(z0)
    total = 0.0
    for k in range(1 if fz == 0.0 else 2):
        for j in range(2):
            low = _hash_unit(ix, iy + j, iz + k, seed)
            high = _hash_unit(ix + 1, iy + j, iz + k, seed)
            weight = (wy if j else 1.0 - wy) * (wz if k else 1.0 - wz)
            total += weight * (low + (high - low) * wx)
    return total


@jit
def _fractal_noise(x: float, y: float, z: float, seed: int, octaves: int) -> float:
    """Sum of ``octaves`` value noises, each twice as fine and half as strong; in [0, 1)."""
    total, norm, amplitude = 0.0, 0.0, 1.0
    for octave in range(octaves):
        total += amplitude * value_noise(x, y, z, seed + octave)
        norm += amplitude
        amplitude *= 0.5
        x, y, z = 2.03 * x, 2.03 * y, 2.03 * z
    return total / norm


# ---- First hits ----------------------------------------------------------------------------------


@jit
def _slab(o: float, d: float) -> tuple[float, float]:
    """Where o + t d enters and leaves [-1, 1]."""
    if d == 0.0:
        if abs(o) <= 1.0:
            return -np.inf, np.inf
        return np.inf, -np.inf
    inverse = 1.0 / d
    middle, half = -o * inverse, abs(inverse)
    return middle - half, middle + half


@jit
def _round(a: float, b: float, c: float) -> tuple[float, float]:
    """Roots of a t^2 + 2 b t + c: where a ray enters and leaves a sphere or a round tube."""
    if a == 0.0:
        if c <= 0.0:
            return -np.inf, np.inf
        return np.inf, -np.inf
    square = b * b - a * c
    if square < 0.0:
        return np.inf, -np.inf
    root = np.sqrt(square)
    return (-b - root) / a, (-b + root) / a


@jit
def intersect(kind: int, ox: float, oy: float, oz: float, dx: float, dy: float,
              dz: float) -> tuple[float, float]:
    """Where the line o + t d enters and leaves a unit solid; enter > leave where it misses."""
    if kind == ELLIPSOID:
        return _round(dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz,
                      ox * ox + oy * oy + oz * oz - 1.0)
    enter, leave = _slab(oz, dz)
    if kind == BOX:
        ex, lx = _slab(ox, dx)
        ey, ly = _slab(oy, dy)
        return max(enter, ex, ey), min(leave, lx, ly)
    side_in, side_out = _round(dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - 1.0)
    return max(enter, side_in), min(leave, side_out)


@jit
def is_hole(x: float, y: float, z: float, cutout: float) -> bool:
    """Whether a foliage surface has a hole at (x, y, z) in the frame of its solid."""
    coarse = value_noise(x / (2 * _LEAF), y / (2 * _LEAF), z / (2 * _LEAF), 7)
    # Most points are decided by the coarse noise alone.
    if coarse > 2 * cutout:
        return False
    return 0.5 * (coarse + value_noise(x / _LEAF, y / _LEAF, z / _LEAF, 11)) < cutout


@jit
def _hit(item, dx: float, dy: float, dz: float) -> float:
    """Distance along a direction to the first solid point of a VIEW record; inf if missed."""
    m = item.world_to_unit
    ux = m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz
    uy = m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz
    uz = m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz
    ox, oy, oz = item.unit_origin[0], item.unit_origin[1], item.unit_origin[2]
    enter, leave = intersect(item.kind, ox, oy, oz, ux, uy, uz)
    if not enter <= leave:
        return np.inf
    if item.cutout <= 0.0:
        return enter if enter > _EPSILON else np.inf
    hx, hy, hz = item.half_size[0], item.half_size[1], item.half_size[2]
    for side in range(2):  # through a hole of the near side, the far side may be seen
        t = leave if side else enter
        if t > _EPSILON and not is_hole((ox + t * ux) * hx, (oy + t * uy) * hy, (oz + t * uz) * hz,
                                        item.cutout):
            return t
    return np.inf


@jit
def _turn(angle: float) -> float:
    """The same angle in [-pi, pi]."""
    return angle - 2 * np.pi * np.floor(angle / (2 * np.pi) + 0.5)


@jit
def _tile_bounds(directions, row0, row1, col0, col1):
    """Middle and half width of the azimuths, lowest and highest elevation of a tile's rays."""
    first = np.arctan2(directions[row0, col0, 1], directions[row0, col0, 0])
    left, right, low, high = 0.0, 0.0, np.inf, -np.inf
    for r in range(row0, row1):
        # Both angles have their extremes on the border of the tile.
        step = 1 if r == row0 or r == row1 - 1 else max(col1 - 1 - col0, 1)
        for c in range(col0, col1, step):
            x, y, z = directions[r, c, 0], directions[r, c, 1], directions[r, c, 2]
            relative = _turn(np.arctan2(y, x) - first)
            elevation = np.arctan2(z, np.sqrt(x * x + y * y))
            left, right = min(left, relative), max(right, relative)
            low, high = min(low, elevation), max(high, elevation)
    return first + (left + right) / 2, (right - left) / 2, low, high


@jit
def _any_active(active, row0, row1, col0, col1):
    for r in range(row0, row1):
        for c in range(col0, col1):
            if active[r, c]:
                return True
    return False


@jit
def cast_rays(view: np.ndarray, height: float, directions: np.ndarray,
              active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First hits of rays from one point, for any sensor.

    The grid of rays (image pixels, or LiDAR beams by azimuths) is cut into tiles; a tile tests only
    the solids whose range of azimuth and elevation, as seen from the sensor, meets its own, near
    ones first.

    Args:
        view: (N,) VIEW records from ``view.prepare_view``.
        height: The sensor's height over the ground.
        directions: (H, W, 3) float64 unit vectors. Neighbours in the grid should be neighbours in
            angle.
        active: (H, W) bool; other rays are left out.

    Returns:
        Distance (H, W) float64 (inf: sky) and the solid hit (H, W) int64, or ``GROUND_PLANE`` or
        ``SKY``.
    """
    rows, cols = directions.shape[:2]
    distance = np.full((rows, cols), np.inf)
    hit = np.full((rows, cols), SKY, dtype=np.int64)
    found = np.empty(len(view), dtype=np.int64)
    for row0 in range(0, rows, _TILE):
        row1 = min(row0 + _TILE, rows)
        for col0 in range(0, cols, _TILE):
            col1 = min(col0 + _TILE, cols)
            if not _any_active(active, row0, row1, col0, col1):
                continue
            azimuth, spread, low, high = _tile_bounds(directions, row0, row1, col0, col1)
            count = 0
            for i in range(len(view)):
                if view[i].lowest > high or view[i].highest < low:
                    continue
                if abs(_turn(view[i].azimuth - azimuth)) <= view[i].spread + spread:
                    found[count] = i
                    count += 1
            for r in range(row0, row1):
                for c in range(col0, col1):
                    if not active[r, c]:
                        continue
                    dx, dy, dz = directions[r, c, 0], directions[r, c, 1], directions[r, c, 2]
                    best, what = np.inf, SKY
                    if dz < -1e-6:
                        best, what = -height / dz, GROUND_PLANE
                    for k in range(count):
                        if view[found[k]].near > best:
                            break
                        t = _hit(view[found[k]], dx, dy, dz)
                        if t < best:
                            best, what = t, view[found[k]].index
                    distance[r, c], hit[r, c] = best, what
    return distance, hit


# ---- Surface patterns ----------------------------------------------------------------------------


@jit
def _stripe(position: float, share: float) -> float:
    return 1.0 if position - np.floor(position) < share else 0.0


@jit
def _windows(u: float, v: float, share: float, seed: int) -> tuple[float, float]:
    """Panes in a grid of 1 x 1.3, each of its own brightness: (mix, brightness)."""
    row, column = np.floor(v / 1.3), np.floor(u)
    fu, fv = u - column, v / 1.3 - row
    margin = 0.5 * (1.0 - np.sqrt(share))
    if fu < margin or fu > 1.0 - margin or fv < margin or fv > 1.0 - margin:
        return 0.0, 1.0
    return 1.0, 0.45 + 0.75 * _hash_unit(int(column), int(row), 0, seed)


@jit
def _bricks(u: float, v: float, share: float, seed: int) -> tuple[float, float]:
    """Courses of bricks, each brick of its own brightness; the second colour is the mortar."""
    course = np.floor(2.0 * v)
    shifted = u + 0.5 * (course - 2.0 * np.floor(course / 2.0))
    brick = np.floor(shifted)
    if 2.0 * v - course < 0.4 * share or shifted - brick < 0.2 * share:
        return 1.0, 1.0
    return 0.0, 0.7 + 0.5 * _hash_unit(int(brick), int(course), 1, seed)


@jit
def _pattern(material, u: float, v: float, w: float, footprint: float) -> tuple[float, float]:
    """Appearance of a MATERIAL record at one surface point.

    Args:
        u, v: Coordinates along the surface (v upwards on walls).
        w: A third coordinate for the noise on surfaces that are not flat.
        footprint: Size of a pixel there; finer patterns fade to their mean.

    Returns:
        (mix, brightness): share of the second colour in 0..1, and a factor about 1 on the colour.
    """
    pattern, period, share, seed = material.pattern, material.period, material.share, material.seed
    mix, brightness = 0.0, 1.0
    a, b = u / period, v / period
    if pattern == MOTTLED:
        mix = min(max(2.2 * _fractal_noise(a, b, w / period, seed, 2) - 0.6, 0.0), 1.0)
    elif pattern == STRIPES:
        mix = _stripe(b, share)
    elif pattern == BARS:
        mix = _stripe(a, share)
    elif pattern == DIAGONAL:
        mix = _stripe(a + b, share)
    elif pattern == CHECKER:
        mix = abs(_stripe(a, 0.5) - _stripe(b, 0.5))
    elif pattern == WINDOWS:
        mix, brightness = _windows(a, b, share, seed)
    elif pattern == BRICKS:
        mix, brightness = _bricks(a, b, share, seed)
    elif pattern == WAVES:
        mix = 0.5 + 0.5 * np.sin(2 * np.pi * (a + b + w / period) + 3 * np.sin(2 * np.pi * 0.4 * (a - b)))
    if pattern != PLAIN:
        mean = 0.5 if pattern in (MOTTLED, CHECKER, WAVES) else share
        fade = min(max(1.5 - 2.0 * footprint / period, 0.0), 1.0)
        mix = mean + (mix - mean) * fade
        brightness = 1.0 + (brightness - 1.0) * fade
    if material.grain > 0.0 and footprint < _GRAIN:
        noise = value_noise(u / _GRAIN, v / _GRAIN, w / _GRAIN, seed + 5) - 0.5
        brightness *= 1.0 + 1.6 * material.grain * noise * (1.0 - footprint / _GRAIN)
    return mix, brightness


# ---- Ground --------------------------------------------------------------------------------------


@jit
def road_centre(x: float, bend: float) -> float:
    """y of the road's middle at x: a parabola that goes straight on from 80 m."""
    reach = min(abs(x), 80.0)
    return 0.5 * bend * reach * reach + bend * reach * (abs(x) - reach)


@jit
def _is_marking(ground, x: float, offset: float) -> bool:
    """Whether paint lies on the road at x, ``offset`` left of its middle."""
    half = 0.5 * ground.marking_width
    if 0.0 <= x - ground.crossing < 3.0:
        return offset - np.floor(offset) < 0.5
    if ground.edge_line >= 0.0 and abs(abs(offset) - (ground.half_width - ground.edge_line)) < half:
        return True
    lane = 2.0 * ground.half_width / ground.num_lanes
    number = np.floor((offset + ground.half_width) / lane + 0.5)
    if number < 1 or number > ground.num_lanes - 1:
        return False
    period = ground.dash + ground.gap
    along = x - period * np.floor(x / period)
    return abs(offset + ground.half_width - number * lane) < half and along < ground.dash


@jit
def ground_zone(ground, x: float, y: float) -> int:
    """The kind of ground at (x, y) of a GROUND record: a row of the scene's materials."""
    offset = y - road_centre(x, ground.bend)
    if abs(offset) <= ground.half_width:
        if _is_marking(ground, x, offset):
            return MARKING
        mended = value_noise(0.25 * x, 0.6 * offset, 0.0, 3) < ground.patch_share
        return PATCH if mended else ROAD
    if abs(x - ground.side_road) < 3.5:
        return ROAD
    if abs(offset) <= ground.half_width + ground.sidewalk:
        return SIDEWALK
    return VERGE


# ---- Shading -------------------------------------------------------------------------------------


@jit
def _to_world(solid, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A direction in the frame of a PRIMITIVE record, turned to world and scaled to length 1."""
    wx = solid.rotation[0, 0] * x + solid.rotation[0, 1] * y + solid.rotation[0, 2] * z
    wy = solid.rotation[1, 0] * x + solid.rotation[1, 1] * y + solid.rotation[1, 2] * z
    wz = solid.rotation[2, 0] * x + solid.rotation[2, 1] * y + solid.rotation[2, 2] * z
    scale = 1.0 / np.sqrt(wx * wx + wy * wy + wz * wz)
    return wx * scale, wy * scale, wz * scale


@jit
def _surface_coordinates(kind, lx, ly, lz, hx, hy, hz):
    """Surface coordinates u, v, w and normal of a point (lx, ly, lz), in its solid's frame."""
    ux, uy, uz = lx / hx, ly / hy, lz / hz
    if kind == ELLIPSOID:
        return lx, ly, lz, ux / hx, uy / hy, uz / hz
    if kind == CYLINDER:
        if abs(uz) > 0.9999:
            return lx, ly, 0.0, 0.0, 0.0, uz
        return np.arctan2(uy, ux) * hx, lz + hz, 0.0, ux / hx, uy / hy, 0.0
    if abs(ux) >= abs(uy) and abs(ux) >= abs(uz):
        return ly + hy, lz + hz, 0.0, ux, 0.0, 0.0
    if abs(uy) >= abs(uz):
        return lx + hx, lz + hz, 0.0, 0.0, uy, 0.0
    return lx + hx, ly + hy, 0.0, 0.0, 0.0, uz


@jit
def _surface(primitives, materials, ground, hit: int, x: float, y: float, z: float,
             footprint: float):
    """(material, mix, brightness, normal x, y, z) of the point (x, y, z) that a ray hit."""
    if hit == GROUND_PLANE:
        m = ground_zone(ground, x, y)
        mix, brightness = _pattern(materials[m], x, y, 0.0, footprint)
        return m, mix, brightness, 0.0, 0.0, 1.0
    solid = primitives[hit]
    px, py, pz = x - solid.centre[0], y - solid.centre[1], z - solid.centre[2]
    lx = solid.rotation[0, 0] * px + solid.rotation[1, 0] * py + solid.rotation[2, 0] * pz
    ly = solid.rotation[0, 1] * px + solid.rotation[1, 1] * py + solid.rotation[2, 1] * pz
    lz = solid.rotation[0, 2] * px + solid.rotation[1, 2] * py + solid.rotation[2, 2] * pz
    u, v, w, nx, ny, nz = _surface_coordinates(solid.kind, lx, ly, lz, solid.half_size[0],
                                               solid.half_size[1], solid.half_size[2])
    nx, ny, nz = _to_world(solid, nx, ny, nz)
    m = solid.material
    mix, brightness = _pattern(materials[m], u, v, w, footprint)
    if solid.cutout > 0.0:  # leaves face all ways
        brightness *= 0.5 + value_noise(7 * lx, 7 * ly, 7 * lz, 17)
    return m, mix, brightness, nx, ny, nz


@jit
def _clouds(light, dx: float, dy: float, dz: float) -> tuple[float, float, float]:
    """(blend of horizon to zenith, share of cloud, halo of the sun) of the sky in a direction."""
    height = max(dz, 0.0)
    scale = light.cloud_scale / (height + 0.12)
    noise = _fractal_noise(dx * scale, dy * scale, 0.0, light.cloud_seed, 3)
    clouds = min(max((noise - 1.0 + light.cloud_cover) * 3.0, 0.0), 1.0)
    towards = max(dx * light.sun[0] + dy * light.sun[1] + dz * light.sun[2], 0.0)
    return min(np.sqrt(height) * 1.4, 1.0), clouds, 0.35 * towards**16


@jit
def _sunlight(shadow_map, x: float, y: float) -> float:
    """Share of the sun's light that reaches the ground at (x, y)."""
    if abs(x) >= SHADOW_EDGE or abs(y) >= SHADOW_EDGE:
        return 1.0
    row, column = int((y + SHADOW_EDGE) / SHADOW_CELL), int((x + SHADOW_EDGE) / SHADOW_CELL)
    return 1.0 - shadow_map[row, column] / 255.0


@jit
def shade_image(primitives: np.ndarray, materials: np.ndarray, ground: np.void, light: np.void,
                shadow_map: np.ndarray, origin: np.ndarray, directions: np.ndarray,
                distance: np.ndarray, hit: np.ndarray, active: np.ndarray,
                pixel_angle: float) -> np.ndarray:
    """Colours of rays that ``cast_rays`` followed: (H, W, 3) float32, linear in light.

    Rays that are not ``active`` are 0.

    Args:
        primitives, materials: PRIMITIVE and MATERIAL records of the scene.
        ground, light: One GROUND and one LIGHT record.
        shadow_map: uint8, rows along y and columns along x, 255 where the ground is in shadow.
        origin: (3,) of the rays.
        directions, distance, hit, active: As in ``cast_rays``.
        pixel_angle: Angle between neighbouring rays, radians.
    """
    rows, cols = hit.shape
    image = np.zeros((rows, cols, 3), dtype=np.float32)
    for r in range(rows):
        for c in range(cols):
            if not active[r, c]:
                continue
            dx, dy, dz = directions[r, c, 0], directions[r, c, 1], directions[r, c, 2]
            if hit[r, c] == SKY:
                blend, clouds, halo = _clouds(light, dx, dy, dz)
                for k in range(3):
                    clear = light.horizon[k] + (light.zenith[k] - light.horizon[k]) * blend
                    clouded = clear + (light.cloud[k] - clear) * clouds
                    image[r, c, k] = clouded + halo * light.sun_colour[k]
                continue
            t = distance[r, c]
            x, y, z = origin[0] + t * dx, origin[1] + t * dy, origin[2] + t * dz
            on_ground = hit[r, c] == GROUND_PLANE
            footprint = t * pixel_angle
            if on_ground:
                footprint /= max(np.sqrt(-dz), 0.05)
            m, mix, brightness, nx, ny, nz = _surface(primitives, materials, ground, hit[r, c], x,
                                                      y, z, footprint)
            sunlight = max(nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2], 0.0)
            skylight = 0.75 + 0.25 * nz
            if on_ground:
                reaching = _sunlight(shadow_map, x, y)
                sunlight *= reaching
                skylight *= 0.6 + 0.4 * reaching
            elif z < 0.4:  # little light reaches the foot of things
                skylight *= 0.6 + max(z, 0.0)
            glow = materials[m].glow * mix
            for k in range(3):
                albedo = materials[m].colours[0, k] * (1.0 - mix) + materials[m].colours[1, k] * mix
                power = light.ambient[k] * skylight + light.sun_colour[k] * sunlight
                image[r, c, k] = albedo * brightness * max(power, glow)
    return image


@jit
def develop(linear: np.ndarray, curve: np.ndarray, vignette: float,
            noise: np.ndarray) -> np.ndarray:
    """The 8-bit picture (H, W, 3) of an imperfect camera.

    Args:
        linear: (H, W, 3) light, of which 0..1 is recorded.
        curve: (K,) 8-bit value for each step of light from 0 to 1.
        vignette: Share of the light that is lost in the corners.
        noise: (H, W + 2) in 8-bit steps; channel k takes columns k to k + W.
    """
    rows, cols = linear.shape[:2]
    picture = np.empty((rows, cols, 3), dtype=np.uint8)
    last = len(curve) - 1
    for r in range(rows):
        v = 2.0 * r / rows - 1.0
        for c in range(cols):
            u = 2.0 * c / cols - 1.0
            gain = last * (1.0 - 0.5 * vignette * (u * u + v * v))
            for k in range(3):
                value = curve[int(min(linear[r, c, k] * gain, last))] + noise[r, c + k]
                picture[r, c, k] = int(min(max(value + 0.5, 0.0), 255.0))
    return picture


@jit
def lidar_returns(primitives: np.ndarray, materials: np.ndarray, ground: np.void,
                  origin: np.ndarray, local: np.ndarray, directions: np.ndarray,
                  distance: np.ndarray, hit: np.ndarray, luck: np.ndarray, noise: np.ndarray,
                  max_range: float, dropout: float) -> tuple[np.ndarray, np.ndarray]:
    """Points that a LiDAR reports: weak pulses, from far and dark surfaces, are lost more often.

    Args:
        primitives, materials, ground, origin, directions, distance, hit: As in ``shade_image``.
        local: (H, W, 3) the same directions in LiDAR frame.
        luck: (H, W) uniform in [0, 1), decides which pulses are lost.
        noise: (H, W, 2) added to the range in metres, and to the relative intensity.
        max_range: No returns from beyond.
        dropout: Share of pulses lost whatever they hit.

    Returns:
        Points (N, 4) float32: x, y, z in LiDAR frame and intensity 0..1 (Lambert's law), and the
        solid hit (N,) or ``GROUND_PLANE``.
    """
    rows, cols = hit.shape
    points = np.empty((rows * cols, 4), dtype=np.float32)
    solids = np.empty(rows * cols, dtype=np.int64)
    count = 0
    for r in range(rows):
        for c in range(cols):
            t = distance[r, c]
            if not t < max_range:
                continue
            dx, dy, dz = directions[r, c, 0], directions[r, c, 1], directions[r, c, 2]
            m, mix, brightness, nx, ny, nz = _surface(primitives, materials, ground, hit[r, c],
                                                      origin[0] + t * dx, origin[1] + t * dy,
                                                      origin[2] + t * dz, 0.0)
            facing = abs(nx * dx + ny * dy + nz * dz)
            share = materials[m].reflectance[0] * (1.0 - mix) + materials[m].reflectance[1] * mix
            reflectance = share * brightness * (0.3 + 0.7 * facing)
            power = reflectance * np.exp(-t / max_range)
            if luck[r, c] >= (1.0 - dropout) * (1.0 - np.exp(-40.0 * power)):
                continue
            for k in range(3):
                points[count, k] = local[r, c, k] * (t + noise[r, c, 0])
            points[count, 3] = min(max(reflectance * (1.0 + noise[r, c, 1]), 0.0), 1.0)
            solids[count] = hit[r, c]
            count += 1
    return points[:count].copy(), solids[:count].copy()


@jit
def pixel_rays(to_world: np.ndarray, width: int, height: int, du: float, dv: float) -> np.ndarray:
    """Unit vectors (height, width, 3) through the points (u + du, v + dv) of an image plane.

    Args:
        to_world: (3, 3) camera to world rotation times the inverse of the intrinsics.
    """
    rays = np.empty((height, width, 3))
    for v in range(height):
        for u in range(width):
            length = 0.0
            for k in range(3):
                value = to_world[k, 0] * (u + du) + to_world[k, 1] * (v + dv) + to_world[k, 2]
                rays[v, u, k] = value
                length += value * value
            for k in range(3):
                rays[v, u, k] /= np.sqrt(length)
    return rays
