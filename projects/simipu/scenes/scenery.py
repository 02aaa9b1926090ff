"""Everything beside the road that gets no label: buildings, walls, trees, poles, blocks, hills."""
from collections.abc import Sequence
from random import Random

import numpy as np

from .kernels import BOX, CYLINDER, ELLIPSOID
from .materials import Palette
from .primitives import PrimitiveBuilder


class Scenery:
    """Adds random scenery to a builder; positions in metres, world frame."""

    def __init__(self, builder: PrimitiveBuilder, rng: Random, palette: Palette) -> None:
        self._builder, self._rng, self._palette = builder, rng, palette

    def _pick(self, *groups: str) -> int:
        return self._palette.pick(self._rng, *groups)

    def building(self, x: float, y: float, length: float, depth: float, height: float, yaw: float,
                 towards_road: float) -> None:
        """A house about (x, y); ``towards_road`` is +1 where the road is at larger y."""
        rng, half = self._rng, (length / 2, depth / 2, height / 2)
        self._builder.add(BOX, (x, y, half[2]), half, self._pick('facade', 'facade', 'rough'),
                          (yaw, 0, 0))
        if rng.random() < 0.45:  # ground floor of another material
            floor = min(rng.uniform(2.5, 4.0), 0.6 * height) / 2
            self._builder.add(BOX, (x, y, floor), (half[0] + 0.05, half[1] + 0.08, floor),
                              self._pick('facade', 'rough', 'sign'), (yaw, 0, 0))
        if rng.random() < 0.4:  # awning or balcony
            z, out = rng.uniform(2.4, max(2.5, 0.7 * height)), rng.uniform(0.3, 0.8)
            self._builder.add(BOX, (x, y + towards_road * half[1], z), (0.4 * half[0], out, 0.08),
                              self._pick('sign', 'paint'), (yaw, 0, rng.uniform(-0.2, 0.2)))
        self._roof(x, y, half, yaw)

    def _roof(self, x: float, y: float, half: Sequence[float], yaw: float) -> None:
        rng, top = self._rng, 2 * half[2]
        kind = rng.random()
        if kind < 0.35 and half[2] < 6:  # gable: a square bar turned by 45 degrees
            bar = half[1] / np.sqrt(2) + 0.2
            self._builder.add(BOX, (x, y, top), (half[0] * 0.99, bar, bar),
                              self._pick('rough', 'paint'), (yaw, 0, np.pi / 4))
        elif kind < 0.6:  # parapet
            self._builder.add(BOX, (x, y, top), (half[0] + 0.25, half[1] + 0.25, 0.3),
                              self._pick('paint', 'rough'), (yaw, 0, 0))
        if rng.random() < 0.4:  # chimney or lift house
            self._builder.add(BOX, (x + rng.uniform(-0.6, 0.6) * half[0], y, top + 0.8),
                              (rng.uniform(0.4, 1.5), rng.uniform(0.4, 1.5), 1.4),
                              self._pick('rough'), (yaw, 0, 0))

    def wall(self, x: float, y: float, length: float, yaw: float) -> None:
        """A wall, a hedge or a guard rail along the road."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.4:
            height, thick = rng.uniform(0.6, 2.8), rng.uniform(0.1, 0.25)
            self._builder.add(BOX, (x, y, height / 2), (length / 2, thick, height / 2),
                              self._pick('rough', 'facade', 'sign'), (yaw, 0, 0))
        elif kind < 0.75:
            height, thick = rng.uniform(0.6, 2.2), rng.uniform(0.3, 0.7)
            self._builder.add(BOX, (x, y, height / 2), (length / 2, thick, height / 2),
                              self._pick('foliage'), (yaw, 0, 0), cutout=rng.uniform(0.2, 0.4))
        else:
            material = self._pick('pole', 'paint')
            for z in (0.35, 0.7):
                self._builder.add(BOX, (x, y, z), (length / 2, 0.05, 0.1), material, (yaw, 0, 0))
            for step in np.arange(-length / 2 + 0.5, length / 2, 3.0):
                self._builder.add(CYLINDER, (x + step * np.cos(yaw), y + step * np.sin(yaw), 0.4),
                                  (0.05, 0.05, 0.4), material)

    def tree(self, x: float, y: float) -> None:
        """A trunk with a crown of leafy blobs, or a tall conifer."""
        rng = self._rng
        height, radius = rng.uniform(2.5, 10), rng.uniform(0.08, 0.3)
        trunk = height * rng.uniform(0.35, 0.75)
        lean = (rng.gauss(0, 0.06), rng.gauss(0, 0.06))
        self._builder.add(CYLINDER, (x, y, trunk / 2), (radius, radius, trunk / 2),
                          self._pick('bark'), (0, lean[0], lean[1]))
        leaf, cutout = self._pick('foliage'), rng.uniform(0.3, 0.5)
        if rng.random() < 0.2:
            width = rng.uniform(0.5, 1.3)
            self._builder.add(ELLIPSOID, (x, y, 0.6 * height), (width, width, 0.5 * height), leaf,
                              cutout=cutout)
            return
        size = rng.uniform(0.18, 0.35) * height
        for _ in range(rng.randrange(2, 6)):
            offset = [rng.gauss(0, 0.45 * size) for _ in range(3)]
            scale = [rng.uniform(0.55, 1.1) * size for _ in range(3)]
            self._builder.add(ELLIPSOID,
                              (x + offset[0], y + offset[1], trunk + 0.4 * size + offset[2]), scale,
                              leaf, (rng.uniform(0, np.pi), 0, 0), cutout)

    def bush(self, x: float, y: float) -> None:
        """One to three leafy blobs on the ground."""
        rng, leaf = self._rng, self._pick('foliage')
        for _ in range(rng.randrange(1, 4)):
            size = [rng.uniform(0.25, 0.9) for _ in range(3)]
            offset = (rng.gauss(0, 0.5), rng.gauss(0, 0.5))
            self._builder.add(ELLIPSOID, (x + offset[0], y + offset[1], 0.6 * size[2]), size, leaf,
                              cutout=rng.uniform(0.25, 0.45))

    def pole(self, x: float, y: float, towards_road: float) -> None:
        """A bollard, a sign, a traffic light or a street lamp."""
        rng, material = self._rng, self._pick('pole')
        kind, radius = rng.random(), rng.uniform(0.04, 0.12)
        height = rng.uniform(0.7, 1.2) if kind < 0.25 else rng.uniform(2.2, 3.5)
        height = rng.uniform(4.5, 9) if kind > 0.7 else height
        self._builder.add(CYLINDER, (x, y, height / 2), (radius, radius, height / 2), material,
                          (0, rng.gauss(0, 0.02), rng.gauss(0, 0.02)))
        if 0.25 <= kind < 0.5:
            shape, size = rng.choice((BOX, CYLINDER)), rng.uniform(0.25, 0.6)
            # A disc is a flat cylinder with its axis along the road.
            half = (size, size, 0.03) if shape == CYLINDER else (rng.uniform(0.2, 0.8), size, 0.03)
            self._builder.add(shape, (x, y, height), half, self._pick('sign'),
                              (rng.gauss(0, 0.3), np.pi / 2, 0))
        elif 0.5 <= kind < 0.7:
            self._builder.add(BOX, (x, y, height), (0.15, 0.15, 0.45), self._pick('dark'))
            self._builder.add(ELLIPSOID, (x - 0.12, y, height + 0.25), (0.1, 0.1, 0.1),
                              self._pick('lamp'))
        elif kind > 0.7:
            arm = rng.uniform(0.6, 1.6)
            self._builder.add(BOX, (x, y + towards_road * arm, height), (0.12, arm, 0.07), material)

    def block(self, x: float, y: float, largest: float) -> None:
        """A crate, container, drum or boulder: any size, any pattern, any heading."""
        rng = self._rng
        kind = rng.choice((BOX, BOX, BOX, CYLINDER, ELLIPSOID))
        half = [0.2 * (largest / 0.2)**rng.random() for _ in range(3)]
        if kind == CYLINDER:
            half[1] = half[0]
        sink = 0.8 if kind == ELLIPSOID else 1.0
        self._builder.add(kind, (x, y, sink * half[2]), half,
                          self._pick('rough', 'paint', 'sign', 'facade'),
                          (rng.uniform(0, np.pi), 0, 0))

    def hill(self, x: float, y: float) -> None:
        """Something large and far: a wooded hill or a tower block."""
        rng = self._rng
        if rng.random() < 0.5:
            self._builder.add(ELLIPSOID, (x, y, 0),
                              (rng.uniform(20, 60), rng.uniform(20, 60), rng.uniform(4, 22)),
                              self._pick('foliage', 'rough'))
        else:
            half = (rng.uniform(5, 18), rng.uniform(5, 18), rng.uniform(4, 24))
            self._builder.add(BOX, (x, y, half[2]), half, self._pick('facade'),
                              (rng.uniform(0, np.pi), 0, 0))
