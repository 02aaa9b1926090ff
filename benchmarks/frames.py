"""Batches as the model takes them: made-up frames, or those of a KITTI folder.

Both have the original's sizes: images of 640 x 192 pixels, clouds of what the camera shows. The second view
keeps the order of the points; see :func:`shuffle_points`.
"""
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lidar_like import lidar_like_clouds
from mmdet3d.registry import DATASETS, MODELS
from mmdet3d.structures import Det3DDataSample, LiDARPoints
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor

from simipu.datasets.converters import create_kitti_infos
from simipu.datasets.transforms import PointCloudSecondView
from simipu.geometry import project_to_cameras

WIDTH, HEIGHT = 640, 192
CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'simipu_kitti.py'


class Batch(NamedTuple):
    """``inputs`` and ``data_samples`` of :meth:`SimIPU.forward`."""
    inputs: dict
    data_samples: list


def made_up_batch(num_frames: int, num_points: int, width: int = WIDTH, height: int = HEIGHT) -> Batch:
    """LiDAR-like clouds before a camera like KITTI's, and images of noise."""
    lidar2img = _kitti_like_camera(width)
    size = [(height, width)]
    clouds, views, samples = [], [], []
    for frame in range(num_frames):
        cloud = _seen_part(lidar_like_clouds(1, 4 * num_points, seed=frame)[0], lidar2img, size)[:num_points]
        results = dict(points=LiDARPoints(cloud, points_dim=4))
        PointCloudSecondView(shuffle=False).transform(results)
        sample = Det3DDataSample()
        sample.set_metainfo(dict(
            lidar2img=lidar2img, img_aug_matrix=np.eye(4)[None],
            lidar_aug_matrix=results['lidar_aug_matrix'], ori_shape=size, img_shape=size))
        clouds.append(cloud)
        views.append(results['points_aug'].tensor)
        samples.append(sample)
    imgs = torch.randn(num_frames, 1, 3, height, width)
    return Batch(dict(points=torch.stack(clouds), points_aug=torch.stack(views), imgs=imgs), samples)


def kitti_batch(data_root: str, num_frames: int, num_points: int) -> Batch:
    """The first frames of ``ImageSets/train.txt``, loaded by the pipeline of configs/simipu_kitti.py."""
    init_default_scope('mmdet3d')
    config = Config.fromfile(CONFIG)
    dataset = config.train_dataloader.dataset
    settings = dict(ResizeImages=dict(scale=(WIDTH, HEIGHT)), SamplePoints=dict(num_points=num_points),
                    PointCloudSecondView=dict(shuffle=False))
    for transform in dataset.pipeline:
        transform.update(settings.get(transform['type'], {}))
    with tempfile.TemporaryDirectory() as folder:
        create_kitti_infos(data_root, folder, splits=['train'])
        dataset.update(data_root=data_root, ann_file=str(Path(folder) / 'simipu_infos_train.pkl'))
        dataset = DATASETS.build(dataset)
        frames = [dataset[index] for index in range(min(num_frames, len(dataset)))]
    return Batch(**MODELS.build(config.model.data_preprocessor)(pseudo_collate(frames)))


def shuffle_points(clouds: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, C) clouds with their points in random order, and the (B, N) rows that they had before."""
    rows = torch.stack([torch.randperm(clouds.shape[1]) for _ in clouds])
    return clouds.gather(1, rows[..., None].expand_as(clouds)), rows


def _kitti_like_camera(width: int) -> np.ndarray:
    """(1, 4, 4) projection of LiDAR points into the image: camera 2, from 1242 to ``width`` pixels."""
    lidar2cam = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1.]])
    cam2img = np.eye(4)
    cam2img[:2, :3] = np.array([[721.5, 0, 609.6], [0, 721.5, 172.9]]) * width / 1242
    return (cam2img @ lidar2cam)[None]


def _seen_part(cloud: Tensor, lidar2img: np.ndarray, size: list[tuple[int, int]]) -> Tensor:
    size = torch.tensor([size])
    _, _, visible = project_to_cameras(cloud[None, :, :3].double(), torch.from_numpy(lidar2img)[None],
                                       torch.eye(4).double()[None, None], size, size)
    return cloud[visible[0, 0]]
