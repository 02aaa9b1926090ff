"""Augmentation never breaks the relation of pixels and points.

Images hold Gaussian blobs, each of its own colour, at the pixels of known points. Their centres in
the augmented images are measured from the colours alone, and compared with the projected points.
"""
from collections import Counter

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from simipu.datasets import PairedDataset
from simipu.geometry import invert_matrix, project_to_cameras, transform_points
from simipu.models.data_preprocessor import PairedDataPreprocessor

NUM_SEEDS = 200
NUM_MARKS = 12
NUM_DECOYS = 12  # points beside the image or behind the camera: never visible
POINTS_PER_CAMERA = NUM_MARKS + NUM_DECOYS
SIGMA = 6.0
TOLERANCE = 0.25  # pixels; forgetting that pixels have centres costs up to half a pixel
MARGIN = 2  # pixels; of a mark outside, a sliver may be left that seems to have its centre inside
SIZES = ((640, 200), (500, 260))  # (width, height) of the two cameras: they may differ
HUES = np.uint8([[[180 * k // NUM_MARKS, 255, 255] for k in range(NUM_MARKS)]])
PALETTE = cv2.cvtColor(HUES, cv2.COLOR_HSV2BGR)[0] / 255.0


def draw_marks(pixels: np.ndarray, size: tuple) -> np.ndarray:
    grid_u, grid_v = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    image = np.zeros((size[1], size[0], 3))
    for (u, v), colour in zip(pixels, PALETTE):
        blob = np.exp(-((grid_u - u)**2 + (grid_v - v)**2) / (2 * SIGMA**2))
        image = np.maximum(image, 255 * blob[..., None] * colour)
    return np.rint(image).astype(np.uint8)


def marked_camera(rng, size: tuple):
    """Image of a random camera, its points (marks, then decoys) in LiDAR frame, lidar2img."""
    rotation, _ = cv2.Rodrigues(rng.uniform(-np.pi, np.pi, 3))
    shift, focal = rng.normal(size=3), rng.uniform(300, 600)
    centre = np.array(size) / 2 + rng.normal(size=2)
    columns, rows = np.meshgrid(np.arange(4), np.arange(3))
    cells = np.stack([columns, rows], -1).reshape(-1, 2) + 0.5
    cells = cells + rng.uniform(-0.2, 0.2, (NUM_MARKS, 2))
    pixels = cells * np.array(size) / [4, 3]
    above, left, behind = pixels[:6] * [1, 0] - [0, 3], pixels[:3] * [0, 1] - [3, 0], pixels[:3]
    all_pixels = np.concatenate([pixels, above, left, behind])
    depth = rng.uniform(3, 60, (POINTS_PER_CAMERA, 1))
    depth[-3:] *= -1
    in_camera = np.insert((all_pixels - centre) / focal, 2, 1, axis=1) * depth
    intrinsics = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    lidar2img = np.eye(4)
    lidar2img[:3] = intrinsics @ np.concatenate([rotation, shift[:, None]], 1)
    return draw_marks(pixels, size), (in_camera - shift) @ rotation, lidar2img


@pytest.fixture(scope='module')
def marked_frames(tmp_path_factory) -> dict:
    """Two frames on disk; a point's intensity is its row in the cloud."""
    folder, rng, data_list = tmp_path_factory.mktemp('marks'), np.random.default_rng(0), []
    for frame in range(2):
        images, points = {}, []
        for camera, size in enumerate(SIZES):
            image, in_lidar, lidar2img = marked_camera(rng, size)
            cv2.imwrite(str(folder / f'{frame}_{camera}.png'), image)
            images[f'CAM{camera}'] = dict(img_path=f'{frame}_{camera}.png', height=size[1],
                                          width=size[0], lidar2img=lidar2img)
            points.append(in_lidar)
        cloud = np.concatenate(points)
        np.c_[cloud, np.arange(len(cloud))].astype(np.float32).tofile(folder / f'{frame}.bin')
        lidar_points = dict(lidar_path=f'{frame}.bin', num_pts_feats=4)
        data_list.append(dict(images=images, lidar_points=lidar_points))
    mmengine.dump(dict(metainfo={}, data_list=data_list), folder / 'infos.pkl')
    return dict(ann_file='infos.pkl', data_root=str(folder))


def random_pipeline(rng) -> list:
    """Loading, second view, image augmentations in random number and order, packing."""
    resize = dict(type='ResizeImages', scale=[(400, 130), (1100, 350)])
    stretch = dict(type='ResizeImages', scale=[(450, 200), (800, 260)], keep_ratio=False)
    rotate = dict(type='RotateImages', max_angle=20)
    crop = dict(type='CropImages', size=tuple(rng.integers([250, 90], [500, 200]).tolist()),
                mode=str(rng.choice(['random', 'center'])))
    flip = dict(type='FlipImages', prob=0.5)
    before_crop = rng.permutation([resize, rotate, flip])[:rng.integers(1, 4)].tolist()
    after_crop = rng.permutation([crop, flip, stretch])[:rng.integers(0, 4)].tolist()
    second_view = dict(type='PointCloudSecondView', flip_prob=(0.5, 0.5), translation_std=1.0)
    return [dict(type='LoadPairedPoints'), dict(type='LoadPairedImages'), second_view,
            *before_crop, *after_crop, dict(type='PackPairedInputs')]


def augmented_batch(frames: dict, seed: int) -> dict:
    np.random.seed(seed)
    dataset = PairedDataset(pipeline=random_pipeline(np.random.default_rng(seed)),
                            serialize_data=False, **frames)
    preprocessor = PairedDataPreprocessor(mean=[0.] * 3, std=[1.] * 3, bgr_to_rgb=False)
    return preprocessor(pseudo_collate([dataset[i] for i in range(len(dataset))]))


def stack_meta(batch: dict, key: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.array(s.metainfo[key]) for s in batch['data_samples']]))


def back_to_first_view(batch: dict) -> torch.Tensor:
    matrices = invert_matrix(stack_meta(batch, 'lidar_aug_matrix'), 'lidar_aug_matrix')
    return transform_points(batch['inputs']['points_aug'][..., :3].double(), matrices)


def measure_marks(image: np.ndarray) -> dict:
    """Centre of each mark by its colour: vertex of a paraboloid fitted to the log of brightness.

    Unlike a centroid this is not drawn inwards where the border cuts a mark.
    """
    v, u = np.nonzero(image.max(-1) > 50)
    colour = image[v, u]
    brightness = np.linalg.norm(colour, axis=1)
    likeness = colour @ (PALETTE / np.linalg.norm(PALETTE, axis=1, keepdims=True)).T
    nearest = likeness.argmax(1)
    centres = {}
    for mark in range(NUM_MARKS):
        of_mark = nearest == mark
        if len(set(u[of_mark])) < 4 or len(set(v[of_mark])) < 4:
            continue  # a sliver at the border
        u0, v0 = u[of_mark].mean(), v[of_mark].mean()
        x, y = u[of_mark] - u0, v[of_mark] - v0
        terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
        weights = brightness[of_mark]**2  # rounding to 8 bits disturbs the log of dark pixels most
        log_brightness = np.log(brightness[of_mark])
        _, b, c, d, e, f = np.linalg.lstsq(terms * weights[:, None], log_brightness * weights,
                                           rcond=None)[0]
        centres[mark] = np.linalg.solve([[2 * d, e], [e, 2 * f]], [-b, -c]) + (u0, v0)
    return centres


def compare(found: dict, pixels: np.ndarray, visible: np.ndarray, shape: tuple) -> Counter:
    """Points of one image against its measured marks, both by mark."""
    counts = Counter()
    for mark in range(NUM_MARKS):
        if visible[mark]:
            assert mark in found, f'mark {mark} not found'
            assert np.abs(found[mark] - pixels[mark]).max() < TOLERANCE
            counts['on their mark'] += 1
        elif mark in found:
            from_far_corner = np.array(shape)[::-1] - 1 - found[mark]
            assert min(*found[mark], *from_far_corner) < MARGIN, \
                f'mark {mark} is in the image, but its point counts as invisible'
            counts['cut off'] += 1
    return counts


def test_every_visible_point_is_on_its_mark_in_the_augmented_images(marked_frames):
    counts = Counter()
    for seed in range(NUM_SEEDS):
        batch = augmented_batch(marked_frames, seed)
        images = batch['inputs']['imgs'].numpy()
        meta = [stack_meta(batch, key)
                for key in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')]
        pixels, _, visible = project_to_cameras(back_to_first_view(batch), *meta)
        order = batch['inputs']['points_aug'][..., 3].argsort(dim=1)
        for b, v in np.ndindex(images.shape[:2]):
            rows = order[b, v * POINTS_PER_CAMERA:(v + 1) * POINTS_PER_CAMERA]
            assert not visible[b, v, rows[NUM_MARKS:]].any()
            found = measure_marks(images[b, v].transpose(1, 2, 0))
            counts += compare(found, pixels[b, v, rows].numpy(), visible[b, v, rows].numpy(),
                              meta[3][b, v])
    assert counts['on their mark'] > 20 * NUM_SEEDS and counts['cut off'] > NUM_SEEDS, counts


def test_second_view_maps_back_onto_the_first(marked_frames):
    largest_move = 0
    for seed in range(50):
        batch = augmented_batch(marked_frames, seed)
        first, second = batch['inputs']['points'], batch['inputs']['points_aug']
        back = back_to_first_view(batch)
        for b in range(len(first)):
            first_rows, second_rows = first[b, :, 3].argsort(), second[b, :, 3].argsort()
            assert (first[b, first_rows, :3] - back[b, second_rows]).abs().max() < 1e-4
            moves = (second[b, second_rows, :3] - first[b, first_rows, :3]).abs()
            largest_move = max(largest_move, moves.max())
    assert largest_move > 10
