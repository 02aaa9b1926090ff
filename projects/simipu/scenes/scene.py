"""A random street scene: one world that any number of cameras and LiDARs can look at."""
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from .actors import RADIUS, SceneObject, add_actor
from .kernels import SHADOW_CELL, SHADOW_EDGE, road_centre
from .materials import Palette, random_light, random_materials
from .primitives import PrimitiveBuilder, to_world
from .scenery import Scenery

# The plane z = 0: a road along x that bends, its markings, side strips and what lies beyond.
# Metres.
GROUND = np.dtype([
    ('bend', 'f8'),  # the road's middle is at y = bend * x^2 / 2 (1/m)
    ('half_width', 'f8'),  # of the road
    ('num_lanes', 'f8'),
    ('marking_width', 'f8'),
    ('dash', 'f8'), ('gap', 'f8'),  # lengths; gap 0: a full line
    ('edge_line', 'f8'),  # distance of the edge line from the kerb; negative: none
    ('sidewalk', 'f8'),  # width; 0: none
    ('crossing', 'f8'),  # x at which a zebra crossing starts; far away: none
    ('side_road', 'f8'),  # x of a crossing road's middle; far away: none
    ('patch_share', 'f8'),  # how much of the road is mended in another tone, 0..1
])

_REACH = (-55.0, 120.0)  # metres along the road that are furnished
_EGO_RADIUS = 3.2  # nothing stands closer to the sensors, metres
FAR = 1e6  # for things that are not there


@dataclass(frozen=True)
class Scene:
    """A world frame with x along the road, y left, z up, the ground at z = 0; metres.

    The vehicle that carries the sensors stands at (0, ego_y) and looks along x.
    """
    primitives: np.ndarray  # PRIMITIVE records
    materials: np.ndarray  # MATERIAL records
    ground: np.void  # a GROUND record
    light: np.void  # a LIGHT record
    shadow_map: np.ndarray  # uint8, see kernels.shade_image
    objects: list[SceneObject]  # those that the primitives' ``instance`` numbers
    ego_y: float


def _perhaps(rng: Random, chance: float, otherwise: float, low: float, high: float) -> float:
    """A number between ``low`` and ``high`` with the given chance, else ``otherwise``."""
    return rng.uniform(low, high) if rng.random() < chance else otherwise


def ground_record(values: dict[str, float]) -> np.void:
    """A GROUND record of these values; 0 where there is none."""
    return np.array([tuple(values.get(name, 0.0) for name in GROUND.names)], dtype=GROUND)[0]


def random_ground(rng: Random) -> dict[str, float]:
    """Values of a GROUND record."""
    num_lanes = rng.choice((1, 2, 2, 3, 4))
    return dict(
        bend=max(min(rng.gauss(0, 0.0015), 0.004), -0.004),
        half_width=num_lanes * rng.uniform(2.7, 3.8) / 2,
        num_lanes=num_lanes,
        marking_width=rng.uniform(0.1, 0.25),
        dash=rng.uniform(1.5, 6.0),
        gap=_perhaps(rng, 0.8, 0.0, 2, 9),
        edge_line=_perhaps(rng, 0.65, -1.0, 0.1, 0.5),
        sidewalk=_perhaps(rng, 0.7, 0.0, 1, 4),
        crossing=_perhaps(rng, 0.25, FAR, 5, 35),
        side_road=_perhaps(rng, 0.3, FAR, 8, 50),
        patch_share=_perhaps(rng, 0.5, 0.0, 0.15, 0.4))


class _Layout:
    """Places things along one random road; keeps solids of different things apart."""

    def __init__(self, rng: Random, drive: float) -> None:
        self.rng, self.palette, self.builder = rng, Palette(), PrimitiveBuilder()
        self.scenery = Scenery(self.builder, rng, self.palette)
        self.ground = random_ground(rng)
        lane_width = 2 * self.ground['half_width'] / self.ground['num_lanes']
        lane = rng.randrange(self.ground['num_lanes'])
        self.ego_y = (lane + 0.5) * lane_width - self.ground['half_width'] + rng.gauss(0, 0.3)
        self.objects: list[SceneObject] = []
        self._taken: list[tuple[float, float, float]] = [
            (x, self._y(x, self.ego_y), _EGO_RADIUS)
            for x in np.arange(0, drive + _EGO_RADIUS, _EGO_RADIUS) if x <= drive]

    def _y(self, x: float, offset: float) -> float:
        """y of a point ``offset`` metres left of the road's middle."""
        return road_centre(x, self.ground['bend']) + offset

    def _heading(self, x: float) -> float:
        return float(np.arctan(self.ground['bend'] * max(min(x, 80.0), -80.0)))

    def _take(self, x: float, y: float, radius: float) -> bool:
        """Claim a disc; False where something stands already."""
        for a, b, r in self._taken:
            if (x - a)**2 + (y - b)**2 < (radius + r)**2:
                return False
        self._taken.append((x, y, radius))
        return True

    def buildings(self, side: int) -> None:
        """A row of houses, walls and gaps on one side (+1 left, -1 right)."""
        rng, edge = self.rng, self.ground['half_width'] + self.ground['sidewalk']
        share, tall = rng.uniform(0, 1), rng.uniform(4, 22)
        setback = rng.uniform(0.3, 9)
        x = _REACH[0] + rng.uniform(0, 10)
        while x < _REACH[1]:
            length = rng.uniform(5, 22)
            middle, kind = x + length / 2, rng.random()
            clear = abs(middle - self.ground['side_road']) > length / 2 + 4
            offset = side * (edge + setback + rng.uniform(0, 2))
            heading = self._heading(middle)
            if kind < share and clear:
                depth, height = rng.uniform(5, 12), rng.uniform(0.4, 1.2) * tall
                swell = 0.5 * length * abs(np.sin(heading))
                self.scenery.building(middle, self._y(middle, offset + side * (depth / 2 + swell)),
                                      length, depth, height, heading + rng.gauss(0, 0.02), -side)
            elif kind < share + 0.5 * (1 - share) and clear:
                self.scenery.wall(middle, self._y(middle, offset + side * 0.8), length, heading)
            x += length + (rng.uniform(0, 6) if rng.random() < 0.5 else 0.1)

    def roadside(self, side: int) -> None:
        """Poles, trees, bushes, parked cars and people on one side."""
        rng, kerb = self.rng, self.ground['half_width']
        for add, spacing, offsets in (
                (lambda x, y: self.scenery.pole(x, y, -side), rng.uniform(6, 30), (0.3, 1.0)),
                (self.scenery.tree, rng.uniform(6, 40), (0.6, 3.0)),
                (self.scenery.bush, rng.uniform(6, 40), (1.0, 6.0))):
            for x in np.arange(_REACH[0] + rng.uniform(0, spacing), _REACH[1] * 0.75, spacing):
                x = x + rng.gauss(0, 0.1 * spacing)
                y = self._y(x, side * (kerb + rng.uniform(*offsets)))
                if self._take(x, y, 0.5):
                    add(x, y)
        if rng.random() < 0.55:
            self._parked(side)

    def _parked(self, side: int) -> None:
        rng = self.rng
        for x in np.arange(-20 + rng.uniform(0, 6), rng.uniform(20, 70), rng.uniform(5.5, 14)):
            if rng.random() < 0.7:
                name = rng.choice(('Car', 'Car', 'Car', 'Van'))
                offset = side * (self.ground['half_width'] - rng.uniform(-1.0, 0.8))
                self._actor(name, x, offset, side)

    def _actor(self, name: str, x: float, offset: float, side: int) -> None:
        y = self._y(x, offset)
        if not self._take(x, y, RADIUS[name]):
            return
        direction = 0.0 if side < 0 else np.pi
        spread = 0.06 if name in ('Car', 'Van', 'Truck') else 1.0
        yaw = self._heading(x) + direction + self.rng.gauss(0, spread)
        if self.rng.random() < 0.08:
            yaw = self.rng.uniform(-np.pi, np.pi)
        self.objects.append(
            add_actor(self.builder, self.rng, self.palette, name, len(self.objects), x, y, yaw))

    def traffic(self) -> None:
        """Moving road users in the lanes and on the pavements."""
        rng, half = self.rng, self.ground['half_width']
        for _ in range(rng.randrange(1, 8)):
            name = rng.choice(('Car', 'Car', 'Car', 'Van', 'Truck', 'Cyclist'))
            offset = rng.uniform(-half + 1, half - 1)
            x = rng.uniform(-40, 70) if rng.random() < 0.6 else rng.uniform(6, 30)
            self._actor(name, x, offset, 1 if offset > 0 else -1)
        for _ in range(rng.randrange(0, 9)):
            name = rng.choice(('Pedestrian', 'Pedestrian', 'Pedestrian', 'Cyclist'))
            offset = rng.uniform(half * 0.6, half + 4) * rng.choice((-1, 1))
            self._actor(name, rng.uniform(-15, 40), offset, rng.choice((-1, 1)))

    def clutter(self) -> None:
        """Blocks of any size anywhere, often one right ahead, and hills on the horizon."""
        rng = self.rng
        for _ in range(rng.randrange(2, 14)):
            x, offset = rng.uniform(-30, 60), rng.gauss(0, 8)
            y = self._y(x, offset)
            if self._take(x, y, 1.8):
                self.scenery.block(x, y, 1.3)
        if rng.random() < 0.35:
            x, y = rng.uniform(5, 14), self.ego_y + rng.gauss(0, 2.5)
            if self._take(x, y, 2.0):
                self.scenery.block(x, y, 1.5)
        for _ in range(rng.randrange(2, 9)):
            angle, radius = rng.uniform(-np.pi, np.pi), rng.uniform(110, 190)
            self.scenery.hill(radius * np.cos(angle), radius * np.sin(angle))


def _outline(primitives: np.ndarray) -> np.ndarray:
    """Points on the surface (N, 26, 3), world frame, whose convex hull is close to each solid's."""
    grid = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)
                     if (x, y, z) != (0, 0, 0)], dtype=np.float64)
    ball = grid / np.linalg.norm(grid, axis=1, keepdims=True)
    level = np.maximum(np.hypot(grid[:, 0], grid[:, 1]), 1e-9)[:, None]
    tube = np.concatenate([grid[:, :2] / level, grid[:, 2:]], axis=1)
    shapes = np.stack([grid, ball, tube])  # in the order of BOX, ELLIPSOID, CYLINDER
    return to_world(primitives, shapes[primitives['kind']])


def shadow_map(primitives: np.ndarray, light: np.void) -> np.ndarray:
    """Ground in shadow (255) or sun (0): the solids' outlines, moved along the sun's rays."""
    cells = round(2 * SHADOW_EDGE / SHADOW_CELL)
    shadows = np.zeros((cells, cells), dtype=np.uint8)
    if light['sun_colour'].max() < 0.3 * light['ambient'].max():  # overcast
        return shadows
    points = _outline(primitives)
    slant = light['sun'][:2] / light['sun'][2]
    flat = points[..., :2] - np.maximum(points[..., 2:], 0) * slant
    flat = ((flat + SHADOW_EDGE) / SHADOW_CELL).clip(-1e4, 1e4).astype(np.int32)
    for outline in flat:
        cv2.fillConvexPoly(shadows, cv2.convexHull(outline), 255)
    return cv2.blur(shadows, (3, 3))


def random_scene(rng: np.random.Generator, drive: float = 0.0) -> Scene:
    """Draw a scene; the same state of ``rng`` gives the same scene.

    Args:
        drive: Metres along the road, from x = 0 on, that the vehicle needs free to drive.
    """
    # The standard library draws single numbers many times faster than numpy.
    layout = _Layout(Random(int(rng.integers(1 << 62))), drive)
    layout.traffic()
    for side in (-1, 1):
        layout.roadside(side)
        layout.buildings(side)
    layout.clutter()
    primitives = layout.builder.build()
    materials, light = random_materials(rng, layout.palette), random_light(rng)
    return Scene(primitives, materials, ground_record(layout.ground), light, shadow_map(primitives, light),
                 layout.objects, layout.ego_y)
