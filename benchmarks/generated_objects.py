"""Pictures of single generated objects and their classes: what a classifier learns from, as on ImageNet.

Shapes and textures, no geometry: every object fills its picture, whatever its size and distance. For
``object_classifier.py`` in this folder; a config gets at it by ``custom_imports``.
"""
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from mmdet3d.registry import DATASETS, MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from simipu.scenes import Camera, Scene, render
from simipu.scenes.actors import RADIUS, add_actor
from simipu.scenes.kernels import BARS, BRICKS, CHECKER, DIAGONAL, MOTTLED, PLAIN, STRIPES, WINDOWS
from simipu.scenes.materials import Palette, random_light, random_materials
from simipu.scenes.primitives import PrimitiveBuilder, corners
from simipu.scenes.scene import ground_record, random_ground, shadow_map
from simipu.scenes.scenery import Scenery

PATTERNS = (PLAIN, MOTTLED, STRIPES, BARS, DIAGONAL, CHECKER, WINDOWS, BRICKS)
CLASSES = (*RADIUS, 'tree', 'bush', 'pole', 'building', *(f'block {pattern}' for pattern in PATTERNS))


@DATASETS.register_module()
class GeneratedObjects(Dataset):
    """``inputs`` (3, size, size) uint8 BGR and ``data_samples``, the class, drawn anew by the index's seed.

    Args:
        size: Of the pictures, pixels.
        length: Of an epoch.
    """

    def __init__(self, size: int = 64, length: int = 10000) -> None:
        self.size, self.length = size, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng([int(index), getattr(index, 'seed', 0)])
        label = int(rng.integers(len(CLASSES)))
        image = picture(label, self.size, rng)
        return dict(inputs=torch.from_numpy(image.transpose(2, 0, 1).copy()), data_samples=label)


def picture(label: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3) uint8 BGR of an object of CLASSES[label], from anywhere around it."""
    builder, palette, luck = PrimitiveBuilder(), Palette(), Random(int(rng.integers(1 << 62)))
    scenery, name = Scenery(builder, luck, palette), CLASSES[label]
    if name in RADIUS:
        add_actor(builder, luck, palette, name, 0, 0, 0, luck.uniform(-np.pi, np.pi))
    elif name == 'building':
        scenery.building(0, 0, luck.uniform(5, 15), luck.uniform(5, 12), luck.uniform(4, 15), luck.uniform(0, np.pi), 1)
    elif name == 'pole':
        scenery.pole(0, 0, 1)
    elif name.startswith('block'):
        scenery.block(0, 0, 1.5)
    else:
        getattr(scenery, name)(0, 0)
    primitives, materials, light = builder.build(), random_materials(rng, palette), random_light(rng)
    if name.startswith('block'):
        materials['pattern'][primitives['material']] = PATTERNS[int(name.split()[1])]
    ground = ground_record(random_ground(luck))
    scene = Scene(primitives, materials, ground, light, shadow_map(primitives, light), [], ego_y=0.0)
    return render(scene, camera_before(corners(primitives).reshape(-1, 3), size, rng), rng).image


def camera_before(points: np.ndarray, size: int, rng: np.random.Generator) -> Camera:
    """A camera that looks at (N, 3) points from such a distance that they fill the picture."""
    middle, half_view = (points.min(0) + points.max(0)) / 2, np.deg2rad(rng.uniform(12, 35))
    radius = np.linalg.norm(points - middle, axis=1).max()
    azimuth, elevation = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(2, 35))
    away = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    place = middle + away * radius / np.tan(half_view) * rng.uniform(0.8, 1.3)
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(-away, right), -away], axis=1)
    pose[:3, 3] = np.maximum(place, [-np.inf, -np.inf, 0.3])
    focal = size / 2 / np.tan(half_view)
    centre = size / 2 + rng.uniform(-0.15, 0.15, 2) * size
    return Camera(np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]]), pose, (size, size))


@MODELS.register_module()
class ObjectClassifier(BaseModel):
    """A linear layer on the mean of the backbone's last map.

    Args:
        img_backbone: Its weights are what this is for.
        in_channels: Of its last map.
        data_preprocessor: MMEngine's ``ImgDataPreprocessor``.
    """

    def __init__(self, img_backbone: dict, in_channels: int, data_preprocessor: dict) -> None:
        super().__init__(data_preprocessor)
        self.img_backbone = MODELS.build(img_backbone)
        self.classifier = nn.Linear(in_channels, len(CLASSES))

    def forward(self, inputs: Tensor, data_samples: list[int], mode: str = 'loss') -> dict[str, Tensor]:
        """(B, 3, H, W) normalised images and their classes -> loss, and accuracy in percent."""
        scores = self.classifier(self.img_backbone(inputs)[-1].mean((2, 3)))
        labels = torch.as_tensor(data_samples, device=scores.device)
        correct = (scores.argmax(1) == labels).float().mean()
        return dict(loss=F.cross_entropy(scores, labels), accuracy=100 * correct)
