"""SimIPU: a camera backbone learns space from the LiDAR that drives beside it."""
from typing import NamedTuple, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from torch import Tensor

from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from ..geometry import (Occlusion, invert_matrix, project_to_cameras, sample_features,
                        transform_points)
from .point_encoders import PointFeatures


class PixelPointPairs(NamedTuple):
    """K pairs of a pixel and a point, ordered by frame, camera and point.

    A point that several cameras see is in several pairs.

    ``image_features`` (K, C_img), ``point_features`` (K, C_pts), and where they are: ``depth`` (K,)
    in metres along the camera's axis, ``frame`` (K,), ``position`` (K, 3) in metres in the frame's
    LiDAR coordinates, ``cell`` (K,) a number for the feature cell that holds the pixel, different in
    every image. ``visible_share`` is the share of all sampled points that some camera sees.
    """
    image_features: Tensor
    point_features: Tensor
    depth: Tensor
    frame: Tensor
    position: Tensor
    cell: Tensor
    visible_share: Tensor

    @property
    def place(self) -> dict[str, Tensor]:
        """What a contrastive loss needs in order to know false negatives."""
        return dict(frame=self.frame, position=self.position, cell=self.cell)


@MODELS.register_module()
class SimIPU(BaseModel):
    """Pre-trains an image backbone by two contrasts (Li et al., AAAI 2022).

    - intra-modal spatial perception: points of a cloud and of a rotated, scaled and flipped copy
      are matched by location; matched features attract, all others repel. The point encoder learns
      geometry.
    - inter-modal feature interaction: points are projected into the images; the image feature at
      the pixel attracts the point's feature. The image backbone learns what the point encoder
      knows.

    Args:
        img_backbone: Any registered image backbone.
        point_encoder: Encoder of clouds into :class:`PointFeatures`.
        inter_head: :class:`ContrastiveHead` from pixels (queries) to points (keys).
        intra_head: :class:`ContrastiveHead` between views; ``None`` trains without this loss.
        matcher: Which point of one view is which of the other; needed with ``intra_head``.
        img_neck: Thrown away after pre-training, as the point encoder is.
        img_level: Which of the feature maps that the backbone (or neck) returns is contrasted. Let
            the backbone return no deeper one: its weights would not be used, which several
            processes refuse unless the config has ``find_unused_parameters=True``.
        occlusion: Arguments of :class:`Occlusion`, such as ``dict(cell=4, window=32)``: points
            that a nearer surface hides from a camera are not paired with it. The depth buffer is
            made of the whole cloud that the model gets. ``None`` pairs hidden points too.
        max_pairs_per_frame: In training, at most so many pairs of each frame, drawn at random, bound
            memory and time of the contrast. ``None`` takes all.
        data_preprocessor: See :class:`PairedDataPreprocessor`.

    Inputs of :meth:`forward`, for B frames of V cameras and N points:
        inputs: ``imgs`` (B, V, 3, H, W) normalised, ``points`` (B, N, C) and ``points_aug``
            (B, N, C), metres in LiDAR coordinates, further columns such as intensity.
        data_samples: B :class:`Det3DDataSample` with ``lidar2img`` (V, 4, 4), ``img_aug_matrix``
            (V, 4, 4), ``lidar_aug_matrix`` (4, 4), ``ori_shape`` and ``img_shape`` (V, 2).

    Attributes:
        pairs_since_step: Pixel-point pairs, over all processes, since a hook last set it to zero.
    """

    def __init__(self,
                 img_backbone: dict,
                 point_encoder: dict,
                 inter_head: dict,
                 intra_head: Optional[dict] = None,
                 matcher: Optional[dict] = None,
                 img_neck: Optional[dict] = None,
                 img_level: int = -1,
                 occlusion: Optional[dict] = None,
                 max_pairs_per_frame: Optional[int] = None,
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if (intra_head is None) != (matcher is None):
            raise ValueError('SimIPU: intra_head and matcher go together; give both or neither')
        self.img_backbone = MODELS.build(img_backbone)
        self.img_neck = None if img_neck is None else MODELS.build(img_neck)
        self.point_encoder = MODELS.build(point_encoder)
        self.inter_head = MODELS.build(inter_head)
        self.intra_head = None if intra_head is None else MODELS.build(intra_head)
        self.matcher = None if matcher is None else MODELS.build(matcher)
        self._check_that_the_point_encoder_learns()
        self.img_level = img_level
        self.occlusion = None if occlusion is None else Occlusion(**occlusion)
        self.max_pairs_per_frame = max_pairs_per_frame
        self.pairs_since_step = 0

    def _check_that_the_point_encoder_learns(self) -> None:
        trainable = any(weight.requires_grad for weight in self.point_encoder.parameters())
        if self.intra_head is None and self.inter_head.detach_key is not None and trainable:
            raise ValueError(
                'SimIPU: without intra_head and with inter_head.detach_key='
                f'{self.inter_head.detach_key!r} nothing trains the point encoder, and the images '
                'would learn random features. Set inter_head.detach_key=None, or add intra_head')

    def forward(self,
                inputs: dict[str, Tensor],
                data_samples: Optional[Sequence[Det3DDataSample]] = None,
                mode: str = 'tensor') -> Union[dict, list, Tensor]:
        """Losses (``mode='loss'``), data samples with embeddings of the pixel-point pairs
        (``'predict'``), or feature maps (B * V, C, h, w) (``'tensor'``)."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.extract_image_features(inputs['imgs'])
        raise ValueError(f"SimIPU: mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def loss(self, inputs: dict[str, Tensor],
             data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
        """Both losses, retrieval accuracies in percent, how many pairs they rest on, and the share
        of the sampled points that a camera sees."""
        points = self.point_encoder(inputs['points'])
        feature_map = self.extract_image_features(inputs['imgs'])
        pairs = self.pair_pixels_with_points(feature_map, points, inputs, data_samples)
        results = {f'{key}_inter': value for key, value in self.inter_head.loss(
            pairs.image_features, pairs.point_features, **pairs.place).items()}
        num_visible = results['loss_inter'].new_tensor(float(len(pairs.frame)))
        results['pairs_inter'] = num_visible.clone()
        results['visible_share'] = pairs.visible_share
        if self.intra_head is not None:
            results.update(self._intra_loss(points, inputs['points_aug'], data_samples))
        all_reduce(num_visible)
        self.pairs_since_step += int(num_visible)
        return results

    def _intra_loss(self, points: PointFeatures, points_aug: Tensor,
                    data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
        # No graph where no gradient flows: the second view is a target unless asked otherwise.
        with torch.set_grad_enabled(self.intra_head.detach_key is None):
            sampling = points.sampling if getattr(self.matcher, 'shares_sampling', False) else None
            view = self.point_encoder(points_aug, sampling=sampling)
        back = invert_matrix(_stack(data_samples, 'lidar_aug_matrix'), 'lidar_aug_matrix').to(view.xyz)
        matches = self.matcher(points.xyz, transform_points(view.xyz, back))
        results = self.intra_head.loss(points.features[matches.batch, matches.index_a],
                                       view.features[matches.batch, matches.index_b],
                                       frame=matches.batch,
                                       position=points.xyz[matches.batch, matches.index_a])
        results['pairs'] = results['loss'].new_tensor(float(len(matches.batch)))
        return {f'{key}_intra': value for key, value in results.items()}

    def predict(self, inputs: dict[str, Tensor],
                data_samples: Sequence[Det3DDataSample]) -> list[Det3DDataSample]:
        """Adds to each frame what validation needs of its K pixel-point pairs, row by row:
        ``image_embedding`` and ``point_embedding`` (K, D), ``pixel_feature`` (K, C) and
        ``pixel_depth`` (K,) in metres."""
        points = self.point_encoder(inputs['points'])
        feature_map = self.extract_image_features(inputs['imgs'])
        pairs = self.pair_pixels_with_points(feature_map, points, inputs, data_samples)
        image_embedding = self.inter_head.embed_query(pairs.image_features)
        point_embedding = self.inter_head.embed_key(pairs.point_features)
        for index, sample in enumerate(data_samples):
            own = pairs.frame == index
            sample.image_embedding = image_embedding[own]
            sample.point_embedding = point_embedding[own]
            sample.pixel_feature = pairs.image_features[own]
            sample.pixel_depth = pairs.depth[own]
        return list(data_samples)

    def extract_image_features(self, imgs: Tensor) -> Tensor:
        """(B, V, 3, H, W) images -> (B * V, C, h, w) feature maps of the chosen level."""
        features = self.img_backbone(imgs.flatten(0, 1))
        if self.img_neck is not None:
            features = self.img_neck(features)
        return features[self.img_level]

    def pair_pixels_with_points(self, feature_map: Tensor, points: PointFeatures,
                                inputs: dict[str, Tensor],
                                data_samples: Sequence[Det3DDataSample]) -> PixelPointPairs:
        """Every sampled point with the pixel of every camera that sees it."""
        geometry = [_stack(data_samples, name).to(points.xyz.device) for name in
                    ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')]
        pixels, depth, visible = project_to_cameras(
            points.xyz.double(), *geometry, cloud=inputs['points'][..., :3],
            occlusion=self.occlusion)
        frame, camera, index = self._choose_pairs(visible)
        pixels = pixels[frame, camera, index].float()
        input_shape = inputs['imgs'].shape[-2:]
        return PixelPointPairs(
            image_features=_sample_images(
                feature_map, pixels, frame * visible.shape[1] + camera, input_shape),
            point_features=points.features[frame, index],
            depth=depth[frame, camera, index].float(),
            frame=frame,
            position=points.xyz[frame, index],
            cell=_feature_cell(pixels, camera, input_shape, feature_map),
            visible_share=visible.any(dim=1).float().mean())

    def _choose_pairs(self, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, camera and point of the pairs (K,), at most the budget of each frame."""
        frame, camera, index = visible.nonzero(as_tuple=True)
        if not self.training or self.max_pairs_per_frame is None:
            return frame, camera, index
        # Numbered in random order within each frame: those beyond the budget go.
        shuffled = torch.randperm(len(frame), device=frame.device)
        shuffled = shuffled[frame[shuffled].argsort(stable=True)]
        kept = shuffled[_rank_in_group(frame[shuffled]) < self.max_pairs_per_frame].sort().values
        return frame[kept], camera[kept], index[kept]


def _rank_in_group(group: Tensor) -> Tensor:
    """(K,) sorted group numbers -> (K,) 0, 1, 2 ... within each group."""
    return torch.arange(len(group), device=group.device) - torch.searchsorted(group, group)


def _sample_images(feature_map: Tensor, pixels: Tensor, image: Tensor,
                   input_shape: tuple[int, int]) -> Tensor:
    """Features (K, C) of (K, 2) pixels, which lie in the images of (K,) sorted numbers."""
    rank = _rank_in_group(image)
    # Every image gets as many rows as the one with most pixels; (0, 0) fills up the others.
    most = int(rank.max()) + 1 if len(rank) else 1
    rows = pixels.new_zeros(len(feature_map), most, 2)
    rows[image, rank] = pixels
    return sample_features(feature_map, rows, input_shape)[image, rank]


def _stack(data_samples: Sequence[Det3DDataSample], name: str) -> Tensor:
    """The field of all frames as one tensor, on the CPU and in double precision."""
    missing = [index for index, sample in enumerate(data_samples) if name not in sample.metainfo]
    if missing:
        raise KeyError(f'SimIPU needs {name} in the data samples, but frame {missing[0]} of the batch '
                       'has none; end the pipeline with PackPairedInputs')
    return torch.from_numpy(np.stack([np.asarray(sample.metainfo[name], dtype=np.float64)
                                      for sample in data_samples]))


def _feature_cell(pixels: Tensor, camera: Tensor, input_shape: tuple[int, int],
                  feature_map: Tensor) -> Tensor:
    """(K, 2) pixels -> (K,) number of the cell of one frame's maps that holds each."""
    height, width = feature_map.shape[-2:]
    column = ((pixels[:, 0] + 0.5) * width / input_shape[1]).long().clamp(0, width - 1)
    row = ((pixels[:, 1] + 0.5) * height / input_shape[0]).long().clamp(0, height - 1)
    return (camera * height + row) * width + column
