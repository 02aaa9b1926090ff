"""A frame as the model will see it: images with LiDAR, and both views of the cloud from above."""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from mmdet3d.structures import Det3DDataSample
from torch import Tensor

from ..geometry import forward_axis, invert_matrix, project_to_cameras, transform_points
from ..models.matchers import IndexMatcher
from ..ops import furthest_point_sample
from .augmentations import describe_image_augmentation, describe_point_augmentation
from .birds_eye_view import UNSEEN, BirdsEyeView
from .colours import depth_bar, depth_colours, hue_colours
from .overlays import draw_dots, draw_lidar_overlay, draw_segments, zoom
from .sheets import GAP, captioned, contact_sheet, hstack, vstack

NUM_LINES = 12
VIEW_1, VIEW_2, MATCH = (200, 110, 30), (20, 120, 240), (60, 60, 60)


class FramePicture(NamedTuple):
    """``image`` (H, W, 3), and for each camera the share of the cloud's points that it sees."""
    image: np.ndarray
    visible: dict[str, float]


class CloudMatches(NamedTuple):
    """K matches of two views' samples of a cloud, all in the first view's coordinates, in metres.

    ``points_a`` (M, 3), ``points_b`` (M, 3); rows in them ``index_a`` and ``index_b``, each (K,).
    """
    points_a: np.ndarray
    points_b: np.ndarray
    index_a: np.ndarray
    index_b: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """(K,) metres between the points of each match."""
        return np.linalg.norm(self.points_a[self.index_a] - self.points_b[self.index_b], axis=1)


def project_sample(points: Tensor, sample: Det3DDataSample
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project points (N, 3) of the first view into the V images, exactly as the model does.

    Returns:
        Pixels (V, N, 2), depth (V, N) in metres, boolean visibility (V, N).
    """
    matrices = (torch.as_tensor(np.array(sample.metainfo[name], dtype=np.float64))[None]
                for name in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape'))
    pixels, depth, visible = project_to_cameras(points[None].double(), *matrices)
    return pixels[0].numpy(), depth[0].numpy(), visible[0].numpy()


def to_images(packed: dict) -> list[np.ndarray]:
    """The V images (H, W, 3) of what ``PackPairedInputs`` returned."""
    return [np.ascontiguousarray(image.permute(1, 2, 0).numpy())
            for image in packed['inputs']['img']]


def draw_frame(packed: dict, matcher: Callable | None = None, num_points: int = 256,
               width: int = 1000, ahead: np.ndarray | None = None) -> FramePicture:
    """Draw one frame as the pipeline packed it.

    Args:
        packed: What ``PackPairedInputs`` returned.
        matcher: The model's; without it, or without a second view, no matches are drawn.
        num_points: Points that are sampled from each view to be matched.
        width: Of the picture, in pixels.
        ahead: Which way is up in the views from above, (x, y) in the LiDAR frame; by default where the
            packed cameras look, which tells little if SampleCameras has left but some of them.
    """
    inputs, sample = packed['inputs'], packed['data_samples']
    ahead = forward_axis(np.asarray(sample.metainfo['lidar2img'])) if ahead is None else ahead
    points = inputs['points'][:, :3]
    pixels, depth, visible = project_sample(points, sample)
    cameras = _draw_cameras(packed, pixels, depth, visible, width)
    clouds = _draw_clouds(inputs, sample, matcher, num_points, width, ahead)
    title = f'frame {sample.metainfo["sample_idx"]}: {sample.metainfo["lidar_path"]}'
    image = vstack([captioned(cameras, title), depth_bar(width // 3), clouds])
    return FramePicture(image, dict(zip(sample.metainfo['cam_names'], visible.mean(1).tolist())))


def _draw_cameras(packed: dict, pixels: np.ndarray, depth: np.ndarray, visible: np.ndarray,
                  width: int) -> np.ndarray:
    meta = packed['data_samples'].metainfo
    columns = min(len(pixels), 3)
    cell_width = (width - GAP * (columns - 1)) // columns
    overlays, titles = [], []
    for i, image in enumerate(to_images(packed)):
        seen = visible[i]
        zoomed, zoomed_pixels = zoom(image, pixels[i, seen], cell_width)
        overlays.append(draw_lidar_overlay(zoomed, zoomed_pixels, depth[i, seen]))
        height, image_width = meta['img_shape'][i]
        did = describe_image_augmentation(meta['img_aug_matrix'][i], meta['ori_shape'][i],
                                          meta['img_shape'][i])
        titles.append(f'{meta["cam_names"][i]}: {image_width} x {height} px, sees '
                      f'{seen.mean():.1%} of {len(seen)} points\n{did}')
    return contact_sheet(overlays, titles, columns, cell_width)


def _draw_clouds(inputs: dict, sample: Det3DDataSample, matcher: Callable | None,
                 num_points: int, width: int, ahead: np.ndarray) -> np.ndarray:
    points = inputs['points'][:, :3]
    caption = f'{len(points)} points\ncoloured by depth where a camera sees them'
    panel_width = (width - 2 * GAP) // 3
    if 'points_aug' not in inputs:
        view = BirdsEyeView.covering([points.numpy()], panel_width, ahead)
        cloud = view.draw(points.numpy(), _colours_in_images(points, sample))
        return captioned(cloud, f'the cloud from above: {caption}')
    points_aug = inputs['points_aug'][:, :3]
    matrix = torch.as_tensor(sample.metainfo['lidar_aug_matrix'])
    back = transform_points(points_aug.double(), invert_matrix(matrix, 'lidar_aug_matrix'))
    matches = None if matcher is None else match_views(points, back, matcher, num_points)
    view = BirdsEyeView.covering([points.numpy(), points_aug.numpy()], panel_width, ahead)
    cloud = view.draw(points.numpy(), _colours_in_images(points, sample))
    cloud_aug = view.draw(points_aug.numpy(), _colours_in_images(back, sample))
    panels = [captioned(cloud, f'view 1: {caption}'),
              captioned(cloud_aug, 'view 2: the same colours\n'
                        + describe_point_augmentation(matrix.numpy()))]
    if matches is None:
        return hstack(panels)
    shift = np.array([view.width + GAP, 0])
    pair = _join_views(hstack(panels), view, shift, matches, matrix)
    return hstack([pair, captioned(_draw_matches(view, matches), _describe(matches))])


def _colours_in_images(points: Tensor, sample: Det3DDataSample) -> np.ndarray:
    """(N, 3): the colour that each point (N, 3) of the first view has in the images, else grey."""
    _, depth, visible = project_sample(points, sample)
    nearest = np.where(visible, depth, np.inf).min(axis=0)
    return np.where(visible.any(axis=0)[:, None], depth_colours(nearest), np.uint8(UNSEEN))


def match_views(points: Tensor, back: Tensor, matcher: Callable, num_points: int) -> CloudMatches:
    """Match samples of two views of a cloud, as the model matches those of its point encoder.

    Args:
        points: (N, 3), the first view.
        back: (N, 3), the second one in the first one's coordinates.
        matcher: See ``simipu.models.matchers``.
        num_points: How many points furthest point sampling takes of each.
    """
    points, back = points.float()[None].contiguous(), back.float()[None].contiguous()
    num_points = min(num_points, points.shape[1])
    rows = furthest_point_sample(points, num_points)[0].long()
    shared = isinstance(matcher, IndexMatcher)
    rows_b = rows if shared else furthest_point_sample(back, num_points)[0].long()
    points_a, points_b = points[:, rows], back[:, rows_b]
    matches = matcher(points_a, points_b)
    return CloudMatches(points_a[0].numpy(), points_b[0].numpy(), matches.index_a.numpy(),
                        matches.index_b.numpy())


def _join_views(pair: np.ndarray, view: BirdsEyeView, shift: np.ndarray, matches: CloudMatches,
                matrix: Tensor) -> np.ndarray:
    """Lines between both views (side by side, ``shift`` pixels apart) for some of the matches."""
    first = matches.points_a[matches.index_a]
    second = torch.from_numpy(matches.points_b[matches.index_b]).double()
    second = transform_points(second, matrix).numpy()
    # In the order of furthest point sampling: the first ones are spread over the cloud.
    shown = (view.contains(first) & view.contains(second)).nonzero()[0][:NUM_LINES]
    top = np.array([0, pair.shape[0] - view.height])
    start = view.pixels(first[shown]) + top
    end = view.pixels(second[shown]) + top + shift
    colours = hue_colours(len(shown))
    pair = draw_segments(pair, start, end, colours)
    return draw_dots(pair, np.concatenate([start, end]), np.tile(colours, (2, 1)), radius=4)


def _draw_matches(view: BirdsEyeView, matches: CloudMatches) -> np.ndarray:
    canvas = draw_segments(view.canvas(), view.pixels(matches.points_a[matches.index_a]),
                           view.pixels(matches.points_b[matches.index_b]), MATCH)
    canvas = view.draw(matches.points_a, VIEW_1, 2, canvas)
    return view.draw(matches.points_b, VIEW_2, 2, canvas)


def _describe(matches: CloudMatches) -> str:
    found = f'matches: {len(matches.index_a)} of {len(matches.points_a)} sampled points'
    if len(matches.index_a):
        found += f', median {np.median(matches.distance):.2f} m apart'
    return f'{found}\nview 1 blue, view 2 put back orange'
