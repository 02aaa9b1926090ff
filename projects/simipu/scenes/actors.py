"""Road users: the objects that get a 3D box label."""
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from .kernels import BOX, CYLINDER, ELLIPSOID
from .materials import Palette
from .primitives import PrimitiveBuilder

Size = tuple[float, float, float]  # length (along the heading), width, height in metres
_QUARTER = np.pi / 2


@dataclass(frozen=True)
class SceneObject:
    """A labelled object: its class and its upright box, world frame, metres and radians."""
    class_name: str
    centre: np.ndarray  # (3,) middle of the box
    size: Size
    yaw: float


class _Body:
    """Adds solids in the frame of one object: x along its heading, y left, z up from the ground."""

    def __init__(self, builder: PrimitiveBuilder, x: float, y: float, yaw: float) -> None:
        self._builder, self._x, self._y, self._yaw = builder, x, y, yaw

    def add(self, kind: int, centre, half_size, material: int, pitch: float = 0.0,
            roll: float = 0.0) -> None:
        """Add a solid at ``centre`` (3,) in the object's frame."""
        cos, sin = np.cos(self._yaw), np.sin(self._yaw)
        world = (self._x + cos * centre[0] - sin * centre[1],
                 self._y + sin * centre[0] + cos * centre[1], centre[2])
        self._builder.add(kind, world, half_size, material, (self._yaw, pitch, roll))


def _wheels(body: _Body, length: float, width: float, radius: float, material: int) -> None:
    for x in (-0.31 * length, 0.31 * length):
        for y in (-1, 1):
            body.add(CYLINDER, (x, y * (width / 2 - 0.12), radius), (radius, radius, 0.11),
                     material,
                     roll=_QUARTER)


def _lights(body: _Body, rng: Random, palette: Palette, length: float, width: float,
            z: float) -> None:
    for end in (-1, 1):
        material = palette.pick(rng, 'lamp')
        for side in (-1, 1):
            body.add(BOX, (end * 0.495 * length, side * 0.36 * width, z),
                     (0.005 * length, 0.1 * width, 0.07), material)


def _car(body: _Body, rng: Random, palette: Palette) -> Size:
    length, width, height = rng.uniform(3.4, 4.8), rng.uniform(1.55, 1.9), rng.uniform(1.38, 1.75)
    paint, glass = palette.pick(rng, 'paint'), palette.pick(rng, 'dark')
    waist, floor = 0.56 * height, 0.22
    cabin, shift = rng.uniform(0.42, 0.66) * length, rng.uniform(-0.09, 0.02) * length
    body.add(BOX, (0, 0, (waist + floor) / 2), (0.495 * length, width / 2, (waist - floor) / 2),
             paint)
    body.add(BOX, (shift, 0, (waist + height) / 2), (cabin / 2, 0.44 * width, (height - waist) / 2),
             glass)
    body.add(BOX, (shift, 0, height - 0.04), (0.46 * cabin, 0.45 * width, 0.04), paint)
    slope = (height - waist) * 0.5
    for end in (-1, 1):  # windscreen and rear window
        body.add(BOX, (shift + end * cabin / 2, 0, waist + 0.8 * slope),
                 (0.15, 0.43 * width, 0.45 * slope),
                 glass,
                 pitch=end * 0.6)
    _wheels(body, length, width, 0.31, palette.pick(rng, 'dark'))
    _lights(body, rng, palette, length, width, 0.45 * height)
    return length, width, height


def _van(body: _Body, rng: Random, palette: Palette) -> Size:
    length, width, height = rng.uniform(4.4, 5.8), rng.uniform(1.8, 2.1), rng.uniform(1.9, 2.5)
    paint, glass = palette.pick(rng, 'paint'), palette.pick(rng, 'dark')
    body.add(BOX, (-0.04 * length, 0, (height + 0.3) / 2),
             (0.45 * length, width / 2, (height - 0.3) / 2), paint)
    body.add(BOX, (0.4 * length, 0, 0.3 * height), (0.09 * length, 0.49 * width, 0.2 * height),
             paint)
    body.add(BOX, (0.05 * length, 0, 0.72 * height),
             (0.37 * length, 0.502 * width * 0.99, 0.13 * height), glass)
    _wheels(body, length, width, 0.34, palette.pick(rng, 'dark'))
    _lights(body, rng, palette, length * 0.97, width, 0.35 * height)
    return length, width, height


def _truck(body: _Body, rng: Random, palette: Palette) -> Size:
    length, width, height = rng.uniform(7, 12), rng.uniform(2.2, 2.6), rng.uniform(2.8, 3.8)
    cab = rng.uniform(1.6, 2.3)
    cargo = palette.pick(rng, 'rough', 'paint', 'sign')
    body.add(BOX, (-cab / 2 - 0.1, 0, (height + 0.8) / 2),
             ((length - cab) / 2 - 0.1, width / 2, (height - 0.8) / 2), cargo)
    body.add(BOX, ((length - cab) / 2, 0, 0.4 * height + 0.2),
             (cab / 2, 0.48 * width, 0.4 * height - 0.1), palette.pick(rng, 'paint'))
    body.add(BOX, ((length - cab) / 2, 0, 0.62 * height), (0.5 * cab, 0.485 * width, 0.11 * height),
             palette.pick(rng, 'dark'))
    body.add(BOX, (0, 0, 0.65), (0.48 * length, 0.3 * width, 0.2), palette.pick(rng, 'dark'))
    _wheels(body, length, width, 0.48, palette.pick(rng, 'dark'))
    return length, width, height


def _limb(body: _Body, x: float, y: float, top: float, bottom: float, radius: float, swing: float,
          material: int) -> None:
    half = (top - bottom) / 2
    body.add(CYLINDER, (x, y, (top + bottom) / 2), (radius, radius, half), material, pitch=swing)


def _pedestrian(body: _Body, rng: Random, palette: Palette) -> Size:
    height = rng.uniform(1.1, 1.3) if rng.random() < 0.15 else rng.uniform(1.5, 1.95)
    stride, width = rng.uniform(0, 0.4), 0.3 * height
    trousers, shirt = palette.pick(rng, 'paint'), palette.pick(rng, 'paint', 'sign')
    hip, shoulder = 0.48 * height, 0.83 * height
    for side in (-1, 1):
        _limb(body, 0, side * 0.05 * height, hip, 0.02 * height, 0.042 * height, side * stride,
              trousers)
        _limb(body, 0, side * 0.125 * height, 0.8 * height, 0.45 * height, 0.022 * height,
              -side * stride, shirt)
    body.add(ELLIPSOID, (0, 0, (hip + shoulder) / 2), (0.075 * height, 0.115 * height,
                                                       0.58 * (shoulder - hip)), shirt)
    body.add(ELLIPSOID, (0, 0, 0.925 * height), (0.06 * height, 0.05 * height, 0.075 * height),
             palette.pick(rng, 'paint'))
    return max(0.5 * height * np.sin(stride) + 0.1 * height, 0.26 * height), width, height


def _cyclist(body: _Body, rng: Random, palette: Palette) -> Size:
    height, radius = rng.uniform(1.6, 1.85), 0.34
    frame, shirt = palette.pick(rng, 'paint'), palette.pick(rng, 'paint')
    for x in (-0.52, 0.52):
        body.add(CYLINDER, (x, 0, radius), (radius, radius, 0.025), palette.pick(rng, 'dark'),
                 roll=_QUARTER)
    body.add(BOX, (0, 0, 0.6), (0.5, 0.03, 0.04), frame)
    body.add(BOX, (0.5, 0, 0.75), (0.04, 0.25, 0.25), frame)
    body.add(ELLIPSOID, (0.05, 0, 0.72 * height), (0.17, 0.2, 0.2 * height), shirt, pitch=0.35)
    body.add(ELLIPSOID, (0.2, 0, height - 0.13), (0.11, 0.09, 0.13), palette.pick(rng, 'paint'))
    for side in (-1, 1):
        _limb(body, 0.0, side * 0.11, 0.9, 0.3, 0.06, side * 0.3, palette.pick(rng, 'paint'))
        _limb(body, 0.3, side * 0.2, 1.25, 0.95, 0.04, -0.9, shirt)
    return 1.76, 0.62, height


_BUILDERS: dict[str, Callable] = {
    'Car': _car, 'Van': _van, 'Truck': _truck, 'Pedestrian': _pedestrian, 'Cyclist': _cyclist}
# Of the circle about an object, metres.
RADIUS = {'Car': 2.6, 'Van': 3.1, 'Truck': 6.3, 'Pedestrian': 0.6, 'Cyclist': 1.1}


def add_actor(builder: PrimitiveBuilder, rng: Random, palette: Palette, class_name: str,
              number: int, x: float, y: float, yaw: float) -> SceneObject:
    """Add an object at (x, y) with heading ``yaw``; its solids carry ``number``."""
    builder.instance = number
    length, width, height = _BUILDERS[class_name](_Body(builder, x, y, yaw), rng, palette)
    builder.instance = -1
    return SceneObject(class_name, np.array([x, y, height / 2]), (length, width, height), yaw)
