"""What a model makes of one frame: features, embeddings and places of its pixels and points."""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ..errors import ConfigError
from ..geometry import sample_features
from .frame_sheet import project_sample, to_images


class FrameFeatures(NamedTuple):
    """One frame of V cameras, its M sampled points, and the D-dimensional space they meet in.

    Attributes:
        name (str): To call the frame by.
        cam_names (list[str]): V names.
        images (list[np.ndarray]): V augmented images (H, W, 3), BGR uint8, without padding.
        input_shape (tuple[int]): Height and width of the network's input, padding included.
        feature_map (Tensor): (V, C, h, w).
        cell_embedding (Tensor): (V, h, w, D), the inter-modal head's embedding of each cell.
        xyz (Tensor): (M, 3) in metres.
        point_embedding (Tensor): (M, D).
        pixels (np.ndarray): (V, M, 2), where each point is in each augmented image.
        depth (np.ndarray): (V, M) in metres.
        visible (np.ndarray): (V, M).
        lidar_pixels (list[np.ndarray]): V times (K, 2), all points that the image shows.
        lidar_depth (list[np.ndarray]): V times (K,) in metres, their depth.
        embed_query (Callable): The inter-modal head's projection, (K, C) pixel features to (K, D).
    """
    name: str
    cam_names: list
    images: list
    input_shape: tuple
    feature_map: Tensor
    cell_embedding: Tensor
    xyz: Tensor
    point_embedding: Tensor
    pixels: np.ndarray
    depth: np.ndarray
    visible: np.ndarray
    lidar_pixels: list
    lidar_depth: list
    embed_query: Callable[[Tensor], Tensor]

    def camera_index(self, name: str | None) -> int:
        """Which camera has this name; the first one for ``None``.

        Raises:
            ConfigError: There is none of this name.
        """
        if name is not None and name not in self.cam_names:
            raise ConfigError(f'no camera {name!r} in {self.name}; there are '
                              f'{", ".join(self.cam_names)}')
        return 0 if name is None else self.cam_names.index(name)

    def features_at(self, camera: int, pixels: np.ndarray) -> Tensor:
        """(K, C) features of the map at pixels (K, 2) of a camera's image."""
        places = torch.as_tensor(pixels, dtype=torch.float32)[None]
        return sample_features(self.feature_map[camera][None], places, self.input_shape)[0]

    @torch.no_grad()
    def embed_pixels(self, camera: int, pixels: np.ndarray) -> Tensor:
        """(K, D) embeddings of pixels (K, 2) of a camera's image."""
        return self.embed_query(self.features_at(camera, pixels))

    def cells_in_image(self, camera: int) -> Tensor:
        """(h, w) boolean: which cells' centres are in the image and not in its padding."""
        height, width = self.feature_map.shape[-2:]
        rows = (torch.arange(height) + 0.5) * self.input_shape[0] / height
        columns = (torch.arange(width) + 0.5) * self.input_shape[1] / width
        image = self.images[camera]
        return (rows < image.shape[0])[:, None] & (columns < image.shape[1])


@torch.no_grad()
def extract_frame(model: nn.Module, packed: dict) -> FrameFeatures:
    """Run a ``SimIPU`` in evaluation mode on what ``PackPairedInputs`` returned."""
    sample = packed['data_samples']
    inputs = model.data_preprocessor(pseudo_collate([packed]))['inputs']
    points = model.point_encoder(inputs['points'])
    feature_map = model.extract_image_features(inputs['imgs'])
    cells = feature_map.permute(0, 2, 3, 1)
    head = model.inter_heads[-1]  # of the level that the feature map is of
    pixels, depth, visible = project_sample(points.xyz[0], sample)
    lidar_pixels, lidar_depth, shown = project_sample(packed['inputs']['points'][:, :3], sample)
    return FrameFeatures(
        name=f'frame {sample.metainfo["sample_idx"]}: {sample.metainfo["lidar_path"]}',
        cam_names=list(sample.metainfo['cam_names']),
        images=to_images(packed),
        input_shape=tuple(inputs['imgs'].shape[-2:]),
        feature_map=feature_map,
        cell_embedding=head.embed_query(cells.flatten(0, 2)).unflatten(0, cells.shape[:3]),
        xyz=points.xyz[0],
        point_embedding=head.embed_key(points.features[0]),
        pixels=pixels,
        depth=depth,
        visible=visible,
        lidar_pixels=[places[seen] for places, seen in zip(lidar_pixels, shown)],
        lidar_depth=[metres[seen] for metres, seen in zip(lidar_depth, shown)],
        embed_query=head.embed_query)
