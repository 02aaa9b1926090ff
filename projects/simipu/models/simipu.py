"""The model: an image backbone trained by two contrasts with a point cloud."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from torch import Tensor, nn

from ..errors import ConfigError
from ..geometry import bilinear_samples, invert_matrix, transform_points
from .image_pretraining import ImagePretraining, stack_metainfo, to_device
from .matchers import IndexMatcher
from .momentum_keys import MomentumKeys
from .point_encoders import PointFeatures


class PixelPointPairs(NamedTuple):
    """K pairs of a pixel and a point, ordered by frame, camera and point.

    A point that several cameras see is in several pairs, which are no negatives of each other.

    The pixel: ``pixel`` (K, 2) as (u, v) in the network's input image of number ``image`` (K,) among
    the B * V of the batch. The point: ``index`` (K,) among the sampled ones of frame ``frame`` (K,),
    ``point_features`` (K, C), ``position`` (K, 3) in metres in the frame's LiDAR coordinates, and
    ``depth`` (K,) in metres along the camera's axis. Of the sampled points of a frame, some camera sees the share
    ``visible_share``.
    """
    pixel: Tensor
    image: Tensor
    frame: Tensor
    index: Tensor
    point_features: Tensor
    position: Tensor
    depth: Tensor
    visible_share: Tensor


@MODELS.register_module()
class SimIPU(ImagePretraining):
    """Pre-trains an image backbone by two contrasts (Li et al., AAAI 2022).

    - intra-modal spatial perception: points of a cloud and of a rotated, scaled and flipped copy
      are matched by location; matched features attract, all others repel. The point encoder learns
      geometry.
    - inter-modal feature interaction: points are projected into the images; the image feature at
      the pixel attracts the point's feature. The image backbone learns what the point encoder
      knows.

    Args:
        img_backbone: Any registered image backbone.
        point_encoder: Encoder of clouds into ``PointFeatures``.
        inter_head: ``ContrastiveHead`` from pixels (queries) to points (keys); a list of them
            where ``img_level`` is one.
        intra_head: ``ContrastiveHead`` between views; ``None`` trains without this loss.
        matcher: Which point of one view is which of the other; needed with ``intra_head``.
        img_neck: Discarded after pre-training, as the point encoder is.
        img_level: Which of the feature maps that the backbone (or neck) returns is contrasted. A
            list contrasts several, each by a head of its own, and sums the losses, whose names then
            end in the level; validation looks at the last. Let the backbone return no deeper map:
            its weights would get no gradient, for which ``DistributedDataParallel`` raises an error unless
            the config has ``find_unused_parameters=True``.
        depth_head: Learns the depth of all visible points beside the contrast, see ``DepthRegressionHead``.
        key_momentum: If given, pixels look for keys of a moving average of point encoder and key
            projector (``MomentumKeys``), which so much of the trained weights enters in each
            step, such as 0.01. It goes well with the ``queue_size`` of ``inter_head``, whose keys it
            keeps comparable.
        occlusion: Arguments of ``Occlusion``, such as ``dict(cell=4, window=32)``: points
            that a nearer surface hides from a camera are not paired with it. The depth buffer is
            made of the points that SamplePoints has left, not of the full sweep, so that some hidden
            points are missed. ``None`` pairs hidden points too.
        max_pairs_per_frame: In training, at most so many pairs of each frame, drawn at random, bound
            memory and time of the contrast. ``None`` takes all.
        channels_last: See ``ImagePretraining``.
        data_preprocessor: See ``PairedDataPreprocessor``.

    Inputs of ``forward``, for B frames of V cameras and N points:
        inputs: ``imgs`` (B, V, 3, H, W) normalised, ``points`` (B, N, C) and ``points_aug``
            (B, N, C), metres in LiDAR coordinates, further columns such as intensity.
        data_samples: B ``Det3DDataSample`` with ``lidar2img`` (V, 4, 4), ``img_aug_matrix``
            (V, 4, 4), ``lidar_aug_matrix`` (4, 4), ``ori_shape`` and ``img_shape`` (V, 2).
    """

    def __init__(self,
                 img_backbone: dict,
                 point_encoder: dict,
                 inter_head: dict | Sequence[dict],
                 intra_head: dict | None = None,
                 matcher: dict | None = None,
                 img_neck: dict | None = None,
                 img_level: int | Sequence[int] = -1,
                 depth_head: dict | None = None,
                 key_momentum: float | None = None,
                 occlusion: dict | None = None,
                 max_pairs_per_frame: int | None = None,
                 channels_last: bool | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(img_backbone, img_neck, img_level, depth_head, occlusion, channels_last, data_preprocessor,
                         init_cfg)
        if (intra_head is None) != (matcher is None):
            raise ConfigError('SimIPU: intra_head and matcher go together; give both or neither')
        self.point_encoder = MODELS.build(point_encoder)
        self.inter_head = self._build_inter_heads(inter_head)
        self.intra_head = None if intra_head is None else MODELS.build(intra_head)
        self.matcher = None if matcher is None else MODELS.build(matcher)
        self._check_that_the_point_encoder_learns()
        self.momentum_keys = (None if key_momentum is None else MomentumKeys(
            self.point_encoder, self._key_projectors, key_momentum))
        self.max_pairs_per_frame = max_pairs_per_frame

    def _build_inter_heads(self, inter_head: dict | Sequence[dict]) -> nn.Module:
        one_level, one_head = isinstance(self.img_level, int), isinstance(inter_head, dict)
        if one_level and one_head:
            return MODELS.build(inter_head)
        if one_level or one_head or len(inter_head) != len(self.img_level):
            raise ConfigError('SimIPU: every level of img_level needs a head of its own in inter_head; '
                              f'found img_level={self.img_level} and '
                              f'{1 if one_head else len(inter_head)} in inter_head')
        return nn.ModuleList(MODELS.build(head) for head in inter_head)

    @property
    def inter_heads(self) -> list[nn.Module]:
        """The inter-modal head of each level, that of the level which validation looks at last."""
        return list(self.inter_head) if isinstance(self.inter_head, nn.ModuleList) else [self.inter_head]

    @property
    def _key_projectors(self) -> list[nn.Module]:
        return [head.projector_of_keys for head in self.inter_heads]

    def _check_that_the_point_encoder_learns(self) -> None:
        trainable = any(weight.requires_grad for weight in self.point_encoder.parameters())
        detached = [head.detach_key for head in self.inter_heads]
        if self.intra_head is None and None not in detached and trainable:
            raise ConfigError(
                'SimIPU: without intra_head and with inter_head.detach_key='
                f'{detached[0]!r} nothing trains the point encoder, and the images '
                'would learn random features. Set detach_key=None in inter_head (in each where it is a list), '
                'or add intra_head')

    def loss(self, inputs: dict[str, Tensor],
             data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
        """All losses, with figures to watch.

        Returns:
            Losses, retrieval accuracies in percent, how many pairs they rest on, and the share of the sampled
            points that a camera sees.
        """
        points = self.point_encoder(inputs['points'])
        feature_maps = self.extract_image_levels(inputs['imgs'])
        pairs = self.pair_pixels_with_points(points, inputs, data_samples)
        results = self._inter_losses(feature_maps, pairs, points, inputs)
        results['pairs_inter'] = points.xyz.new_full((), len(pairs.frame))
        results['visible_share'] = pairs.visible_share
        results.update(self.depth_losses(feature_maps, inputs, data_samples))
        if self.intra_head is not None:
            results.update(self._intra_loss(points, inputs, data_samples))
        return results

    def _inter_losses(self, feature_maps: Sequence[Tensor], pairs: PixelPointPairs,
                      points: PointFeatures, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss and accuracies of every level."""
        input_shape = inputs['imgs'].shape[-2:]
        momentum_features = self._momentum_features(pairs, points, inputs['points'])
        results = {}
        for number, (name, head, feature_map) in enumerate(
                zip(self._level_names(), self.inter_heads, feature_maps)):
            place = dict(frame=pairs.frame, position=pairs.position, point=pairs.index,
                         cell=feature_cell(pairs, feature_map, input_shape))
            if momentum_features is not None:
                place['momentum_keys'] = self.momentum_keys.project(number, momentum_features)
            pixels = bilinear_samples(feature_map, pairs.image, pairs.pixel, input_shape)
            losses = head.loss(pixels, pairs.point_features, **place)
            results.update({f'{key}_{name}': value for key, value in losses.items()})
        return results

    def _level_names(self) -> list[str]:
        """What the names of each level's losses end in."""
        if isinstance(self.img_level, int):
            return ['inter']
        return [f'inter_level{level}' for level in self.img_level]

    def _momentum_features(self, pairs: PixelPointPairs, points: PointFeatures,
                           clouds: Tensor) -> Tensor | None:
        """(K, C) features of the paired points by the moving average of the point encoder."""
        if self.momentum_keys is None:
            return None
        if self.training:
            self.momentum_keys.update(self.point_encoder, self._key_projectors)
        features = self.momentum_keys.encode(clouds, points.sampling).features
        return features[pairs.frame, pairs.index]

    def _intra_loss(self, points: PointFeatures, inputs: dict[str, Tensor],
                    data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
        if 'points_aug' not in inputs:
            raise ConfigError('SimIPU: the frames have no second view of the cloud for intra_head; put '
                              "dict(type='PointCloudSecondView') behind SamplePoints in the pipeline, or train without "
                              'intra_head and matcher')
        # No graph where no gradient flows: the second view is a target unless asked otherwise.
        with torch.set_grad_enabled(self.intra_head.detach_key is None):
            sampling = points.sampling if isinstance(self.matcher, IndexMatcher) else None
            view = self.point_encoder(inputs['points_aug'], sampling=sampling)
        matrix = invert_matrix(stack_metainfo(data_samples, 'lidar_aug_matrix'), 'lidar_aug_matrix')
        back, = to_device([matrix], view.xyz.device)
        matches = self.matcher(points.xyz, transform_points(view.xyz, back.to(view.xyz.dtype)))
        results = self.intra_head.loss(points.features[matches.batch, matches.index_a],
                                       view.features[matches.batch, matches.index_b],
                                       frame=matches.batch,
                                       position=points.xyz[matches.batch, matches.index_a])
        results['pairs'] = results['loss'].new_full((), len(matches.batch))
        return {f'{key}_intra': value for key, value in results.items()}

    def predict(self, inputs: dict[str, Tensor],
                data_samples: Sequence[Det3DDataSample]) -> list[Det3DDataSample]:
        """Add to each frame what validation needs of its K pixel-point pairs, row by row.

        These are ``image_embedding`` and ``point_embedding`` (K, D), ``point_index`` (K,), the number of each pair's
        point among the sampled ones, ``pixel_feature`` (K, C) and ``pixel_depth`` (K,) in metres.
        """
        points = self.point_encoder(inputs['points'])
        feature_map = self.extract_image_features(inputs['imgs'])
        pairs = self.pair_pixels_with_points(points, inputs, data_samples)
        pixel_features = features_at_pixels(pairs, feature_map, inputs['imgs'].shape[-2:])
        image_embedding = self.inter_heads[-1].embed_query(pixel_features)
        point_embedding = self.inter_heads[-1].embed_key(pairs.point_features)
        for index, sample in enumerate(data_samples):
            own = pairs.frame == index
            sample.image_embedding = image_embedding[own]
            sample.point_embedding = point_embedding[own]
            sample.point_index = pairs.index[own]
            sample.pixel_feature = pixel_features[own]
            sample.pixel_depth = pairs.depth[own]
        return list(data_samples)

    def pair_pixels_with_points(self, points: PointFeatures, inputs: dict[str, Tensor],
                                data_samples: Sequence[Det3DDataSample]) -> PixelPointPairs:
        """Every sampled point with the pixel of every camera that sees it."""
        pixels, depth, visible = self.project_points(points.xyz, inputs, data_samples)
        chosen = visible
        if self.training and self.max_pairs_per_frame is not None:
            chosen = _at_most(self.max_pairs_per_frame, visible)
        frame, camera, index = chosen.nonzero(as_tuple=True)
        return PixelPointPairs(
            pixel=pixels[frame, camera, index],
            image=frame * visible.shape[1] + camera,
            frame=frame,
            index=index,
            point_features=points.features[frame, index],
            position=points.xyz[frame, index],
            depth=depth[frame, camera, index],
            visible_share=visible.any(dim=1).float().mean())


def features_at_pixels(pairs: PixelPointPairs, feature_map: Tensor,
                       input_shape: tuple[int, int]) -> Tensor:
    """(K, C) features of the pairs' pixels in feature maps (B * V, C, h, w)."""
    return bilinear_samples(feature_map, pairs.image, pairs.pixel, input_shape).features()


def feature_cell(pairs: PixelPointPairs, feature_map: Tensor, input_shape: tuple[int, int]) -> Tensor:
    """(K,) number of the cell that holds each pair's pixel; different in every image of the batch."""
    height, width = feature_map.shape[-2:]
    column = ((pairs.pixel[:, 0] + 0.5) * width / input_shape[1]).long().clamp(0, width - 1)
    row = ((pairs.pixel[:, 1] + 0.5) * height / input_shape[0]).long().clamp(0, height - 1)
    return (pairs.image * height + row) * width + column


def _at_most(most: int, visible: Tensor) -> Tensor:
    """``visible`` (B, V, M) with at most so many true values in each frame, drawn at random."""
    flat = visible.flatten(1)
    drawn = torch.rand(flat.shape, device=flat.device).masked_fill_(~flat, -1).topk(min(most, flat.shape[1])).indices
    return (flat & torch.zeros_like(flat).scatter_(1, drawn, True)).view_as(visible)
