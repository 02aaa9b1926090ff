"""The transforms one by one; their matrices are tested in test_augmented_geometry.py."""
import copy

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARPoints
from scipy.ndimage import correlate

from simipu.errors import ConfigError, DataError


def build(kind: str, **kwargs):
    return TRANSFORMS.build(dict(type=kind, **kwargs))


def cloud(num_points: int, num_feats: int = 4) -> LiDARPoints:
    points = torch.arange(num_points * num_feats, dtype=torch.float32)
    return LiDARPoints(points.reshape(num_points, num_feats), points_dim=num_feats)


def frame_of(*shapes: tuple) -> dict:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    return dict(img=images, img_shape=list(shapes), ori_shape=list(shapes),
                img_aug_matrix=np.stack([np.eye(4)] * len(shapes)))


class TestLoadPairedPoints:

    def load(self, path, content: np.ndarray = None, num_feats=None, **kwargs):
        if content is not None:
            content.tofile(path)
        frame = dict(lidar_path=str(path), lidar_format=dict(load_dim=num_feats) if num_feats else {})
        return build('LoadPairedPoints', **kwargs)(frame)['points']

    def test_chooses_dimensions(self, tmp_path):
        content = np.arange(20, dtype=np.float32)
        points = self.load(tmp_path / '0.bin', content, 5, load_dim=5, use_dim=[0, 1, 2, 4])
        assert isinstance(points, LiDARPoints)
        np.testing.assert_array_equal(points.tensor, content.reshape(4, 5)[:, [0, 1, 2, 4]])

    @pytest.mark.parametrize('num_bytes', [0, 1, 17])
    def test_refuses_truncated_files(self, tmp_path, num_bytes):
        content = np.zeros(num_bytes, np.uint8)
        with pytest.raises(DataError,
                           match=f'0.bin: {num_bytes} bytes; expected a positive multiple of 16'):
            self.load(tmp_path / '0.bin', content)

    @pytest.mark.parametrize('bad', [np.nan, np.inf])
    def test_leaves_out_points_without_return_and_says_so_once(self, tmp_path, bad, monkeypatch):
        content = np.arange(1, 21, dtype=np.float32).reshape(5, 4)
        content[1, 2] = bad
        content[3, :3] = 0
        content.tofile(tmp_path / '0.bin')
        load, warnings = build('LoadPairedPoints'), []
        monkeypatch.setattr('simipu.datasets.transforms.loading.print_log',
                            lambda message, **kwargs: warnings.append(message))
        for _ in range(2):
            frame = load(dict(lidar_path=str(tmp_path / '0.bin')))
            np.testing.assert_array_equal(frame['points'].tensor, content[[0, 2, 4]])
            assert frame['num_no_returns'] == 2
        assert len(warnings) == 1 and '0.bin: 2 of 5 points' in warnings[0]

    def test_refuses_a_cloud_without_any_return(self, tmp_path):
        with pytest.raises(DataError, match='0.bin: all of its 5 points hold NaN or are zero'):
            self.load(tmp_path / '0.bin', np.zeros((5, 4), np.float32))

    def test_refuses_another_number_of_values_than_the_info_file_says(self, tmp_path):
        with pytest.raises(DataError, match='says load_dim=5, but the config has 4; .*set load_points.load_dim=5'):
            self.load(tmp_path / '0.bin', np.zeros(20, np.float32), 5, load_dim=4)

    @pytest.mark.parametrize('scale, expected', [(255, 0.2), ('tanh', np.tanh(51))])
    def test_brings_intensity_into_0_to_1(self, tmp_path, scale, expected):
        content = np.tile(np.float32([9, 8, 7, 51, 3]), (2, 1))
        points = self.load(tmp_path / '0.bin', content, 5, use_dim=5, intensity_scale=scale)
        np.testing.assert_allclose(points.tensor, [[9, 8, 7, expected, 3]] * 2, rtol=1e-6)

    def test_refuses_a_scale_that_makes_intensities_infinite(self, tmp_path):
        with pytest.raises(DataError, match='0.bin: intensity_scale=1e-320 makes its intensities infinite'):
            self.load(tmp_path / '0.bin', np.tile(np.float32([9, 8, 7, 51]), (2, 1)), intensity_scale=1e-320)

    def test_refuses_a_missing_file(self, tmp_path):
        with pytest.raises(DataError, match='no file .*0.bin.*data_root'):
            self.load(tmp_path / '0.bin')


class TestLoadPairedImages:

    @pytest.fixture
    def path(self, tmp_path) -> str:
        path = str(tmp_path / '0.png')
        cv2.imwrite(path, np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
        return path

    def test_loads_every_camera(self, path):
        frame = build('LoadPairedImages')(dict(img_path=[path, path], img_size=[(2, 4), None]))
        np.testing.assert_array_equal(frame['img'][1], np.arange(24).reshape(2, 4, 3))
        assert frame['ori_shape'] == frame['img_shape'] == [(2, 4), (2, 4)]
        np.testing.assert_array_equal(frame['img_aug_matrix'], [np.eye(4)] * 2)

    def test_refuses_another_size_than_the_info_file_says(self, path):
        with pytest.raises(DataError,
                           match='0.png: the info file says 5 x 2 pixels, the image has 4 x 2'):
            build('LoadPairedImages')(dict(img_path=[path], img_size=[(2, 5)]))

    @pytest.mark.parametrize('content', [b'', b'<html>'])
    def test_refuses_what_is_no_image(self, path, content):
        with open(path, 'wb') as file:
            file.write(content)
        with pytest.raises(DataError, match=f'0.png: .*cannot be decoded .{len(content)} bytes'):
            build('LoadPairedImages')(dict(img_path=[path]))

    def test_refuses_a_missing_file(self, tmp_path):
        with pytest.raises(DataError, match='no file .*1.png'):
            build('LoadPairedImages')(dict(img_path=[str(tmp_path / '1.png')]))


def test_range_filter_keeps_what_is_inside_and_refuses_an_empty_result():
    frame = dict(points=cloud(10), lidar_path='some/0.bin')
    some = build('PairedPointsRangeFilter', point_cloud_range=[7, 0, 0, 21, 99, 99])
    none = build('PairedPointsRangeFilter', point_cloud_range=[100, 0, 0, 101, 99, 99])
    np.testing.assert_array_equal(some(dict(frame))['points'].tensor[:, 0], [8, 12, 16, 20])
    with pytest.raises(DataError, match=r'some/0.bin: none of its 10 points .*\[100.0, 0.0'):
        none(dict(frame))


@pytest.mark.parametrize('available, wanted', [(50, 20), (20, 20), (20, 45), (1, 7)])
def test_sample_points(available, wanted):
    points = build('SamplePoints', num_points=wanted)(dict(points=cloud(available)))['points']
    rows, counts = np.unique(points.tensor[:, 0].numpy() / 4, return_counts=True)
    assert len(points) == wanted
    assert len(rows) == min(available, wanted), 'a point is repeated while another is left out'
    assert set(rows) <= set(range(available)) and counts.sum() == wanted


class TestPointCloudSecondView:

    def apply(self, seed=0, **kwargs) -> dict:
        np.random.seed(seed)
        return build('PointCloudSecondView', **kwargs)(dict(points=cloud(30)))

    def test_first_view_and_features_stay(self):
        frame = self.apply()
        np.testing.assert_array_equal(frame['points'].tensor, cloud(30).tensor)
        np.testing.assert_array_equal(frame['points_aug'].tensor[:, 3], cloud(30).tensor[:, 3])

    def test_order(self):
        intensity = cloud(30).tensor[:, 3]
        assert torch.equal(self.apply()['points_aug'].tensor[:, 3], intensity)
        shuffled = self.apply(shuffle=True)['points_aug'].tensor[:, 3]
        assert not torch.equal(shuffled, intensity) and torch.equal(shuffled.sort().values, intensity)

    def test_parameters_stay_in_their_ranges(self):
        centre = np.array([35.2, 0, -1, 1])
        angles, scales, flips = [], [], []
        for seed in range(200):
            matrix = self.apply(seed)['lidar_aug_matrix']
            np.testing.assert_allclose(matrix @ centre, centre, atol=1e-9)
            scales.append(np.cbrt(abs(np.linalg.det(matrix))))
            flips.append(np.linalg.det(matrix) < 0)
            angles.append(np.arctan2(matrix[1, 0], matrix[0, 0]))
            np.testing.assert_allclose(matrix[2], [0, 0, scales[-1], scales[-1] - 1], atol=1e-9)
        assert 0.75 < min(scales) < 0.76 and 1.24 < max(scales) < 1.25
        assert -np.pi / 2 < min(angles) < -1.5 and 1.5 < max(angles) < np.pi / 2
        assert 70 < sum(flips) < 130

    def test_each_mirror_image_and_the_shift(self):
        still = dict(rot_range=(0, 0), scale_range=(1, 1))
        mirrored = self.apply(**still, flip_prob=(0, 1))['lidar_aug_matrix']
        np.testing.assert_allclose(mirrored,
                                   [[-1, 0, 0, 70.4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        still.update(flip_prob=0, translation_std=(0.5, 2, 0))
        shifts = [self.apply(seed, **still)['lidar_aug_matrix'][:3, 3] for seed in range(300)]
        np.testing.assert_allclose(np.std(shifts, axis=0), [0.5, 2, 0], rtol=0.15)


class TestImages:

    def test_resize_draws_one_scale_for_all_cameras(self):
        transform = build('ResizeImages', scale=[(100, 50), (400, 200)])
        widths = []
        for _ in range(50):
            frame = transform(frame_of((50, 100), (100, 100)))
            (height_a, width_a), (height_b, width_b) = frame['img_shape']
            assert height_b == width_b
            assert abs(height_a - height_b) <= 1 and abs(width_a - 2 * height_a) <= 1
            assert [image.shape[:2] for image in frame['img']] == frame['img_shape']
            widths.append(width_a)
        assert 100 <= min(widths) < 130 and 370 < max(widths) <= 400

    def test_resize_to_a_fixed_size(self):
        frame = build('ResizeImages', scale=(60, 50), keep_ratio=False)(frame_of((20, 80)))
        assert frame['img_shape'] == [(50, 60)]
        np.testing.assert_allclose(np.diag(frame['img_aug_matrix'][0])[:2], [60 / 80, 50 / 20])

    def test_crop(self):
        frame = build('CropImages', size=(30, 10), mode='center')(frame_of((20, 80), (5, 31)))
        assert frame['img_shape'] == [(10, 30), (5, 30)]
        np.testing.assert_array_equal(frame['img'][0], frame_of((20, 80))['img'][0][5:15, 25:55])
        crop = build('CropImages', size=(8, 9))
        starts = {tuple(crop(frame_of((10, 10)))['img_aug_matrix'][0, :2, 2]) for _ in range(100)}
        assert starts == {(-x, -y) for x in range(3) for y in range(2)}
        with pytest.raises(ValueError, match="'random' or 'center', not 'middle'"):
            build('CropImages', size=(8, 9), mode='middle')

    def test_each_camera_flips_on_its_own(self):
        transform, flipped = build('FlipImages', prob=0.5), []
        for _ in range(200):
            frame, before = transform(frame_of((4, 6), (4, 6))), frame_of((4, 6), (4, 6))['img']
            flipped.append([not np.array_equal(a, b) for a, b in zip(frame['img'], before)])
            for image, original, is_flipped in zip(frame['img'], before, flipped[-1]):
                np.testing.assert_array_equal(image, original[:, ::-1] if is_flipped else original)
        for pair in ([False, False], [False, True], [True, False], [True, True]):
            assert 25 < flipped.count(pair) < 80

    def test_rotate_needs_the_whole_image(self):
        rotate, crop = build('RotateImages', max_angle=5), build('CropImages', size=(50, 20))
        frame = build('ResizeImages', scale=(55, 55))(frame_of((40, 80)))
        frame = build('FlipImages', prob=1)(frame)
        for first in (crop, rotate):
            with pytest.raises(ValueError, match='put it before CropImages .* only once'):
                rotate(first(copy.deepcopy(frame)))

    def test_photometric_distortion_moves_no_pixel(self):
        frame = frame_of((40, 80))
        before = frame['img'][0].copy()
        results = [build('PhotometricDistortImages')(dict(frame, img=[before])) for _ in range(10)]
        assert all(r['img'][0].dtype == np.uint8 for r in results)
        assert any(np.abs(r['img'][0].astype(int) - before).max() > 5 for r in results)
        np.testing.assert_array_equal(results[-1]['img_aug_matrix'], [np.eye(4)])
        still = build('PhotometricDistortImages', brightness_delta=0, contrast_range=(1, 1),
                      saturation_range=(1, 1), hue_delta=0)(dict(frame, img=[before]))['img'][0]
        # All that is left of it is the random order of the channels.
        assert np.abs(np.sort(still.astype(int), -1) - np.sort(before, -1)).max() <= 1

    @pytest.mark.parametrize('size', [1, 3, 5])
    def test_random_convolution_by_scipy(self, size, monkeypatch):
        rng = np.random.default_rng(0)
        kernels = rng.normal(size=(3, 3, size, size)).astype(np.float32)
        monkeypatch.setattr(np.random, 'standard_normal', lambda shape: kernels.reshape(shape).astype(float))
        monkeypatch.setattr(np.random, 'rand', lambda: 0.4)
        before = rng.integers(60, 190, (20, 30, 3)).astype(np.uint8)
        results = build('RandomConvolveImages', prob=0.5, kernel_sizes=[size])(dict(frame_of((20, 30)), img=[before]))
        convolved = np.stack([sum(correlate(before[..., c].astype(float), kernels[to, c], mode='mirror')
                                  for c in range(3)) for to in range(3)], -1)
        convolved = (convolved - convolved.mean()) / convolved.std() * before.std() + before.mean()
        expected = (0.4 * convolved + 0.6 * before).clip(0, 255)
        assert np.abs(results['img'][0] - expected).max() < 0.51
        np.testing.assert_array_equal(results['img_aug_matrix'], [np.eye(4)])

    def test_random_convolution_leaves_some_images_alone_and_those_of_one_colour_grey(self):
        image = frame_of((20, 30))['img'][0]
        convolve = build('RandomConvolveImages', prob=0.5)
        same = [np.array_equal(convolve(dict(frame_of((20, 30)), img=[image]))['img'][0], image) for _ in range(100)]
        assert 30 < sum(same) < 70
        grey = np.full((20, 30, 3), 90, np.uint8)
        found = build('RandomConvolveImages', prob=1)(dict(frame_of((20, 30)), img=[grey]))['img'][0]
        assert found.min() >= 89 and found.max() <= 91
        with pytest.raises(ConfigError, match='kernel_sizes must be odd'):
            build('RandomConvolveImages', kernel_sizes=[2])


def test_pack():
    frame = dict(frame_of((4, 6), (3, 5)), points=cloud(7), points_aug=cloud(7), sample_idx=3,
                 cam_names=['A', 'B'], img_path=['a', 'b'], lidar_path='c',
                 lidar2img=np.ones((2, 4, 4)), lidar_aug_matrix=np.eye(4))
    packed = build('PackPairedInputs')(frame)
    inputs, sample = packed['inputs'], packed['data_samples']
    assert [(tuple(image.shape), image.dtype) for image in inputs['img']] == [
        ((3, 4, 6), torch.uint8), ((3, 3, 5), torch.uint8)]
    np.testing.assert_array_equal(inputs['img'][1][2], frame['img'][1][..., 2])
    assert inputs['points'].shape == inputs['points_aug'].shape == (7, 4)
    assert set(sample.metainfo_keys()) == {
        'sample_idx', 'cam_names', 'img_path', 'lidar_path', 'lidar2img', 'img_aug_matrix',
        'lidar_aug_matrix', 'ori_shape', 'img_shape'}
    assert sample.img_shape == [(4, 6), (3, 5)]


def test_pack_without_second_view():
    frame = dict(frame_of((4, 6)), points=cloud(7), sample_idx=3, cam_names=['A'], img_path=['a'],
                 lidar_path='c', lidar2img=np.ones((1, 4, 4)))
    packed = build('PackPairedInputs')(frame)
    assert set(packed['inputs']) == {'points', 'img'}
    assert 'lidar_aug_matrix' not in packed['data_samples'].metainfo_keys()
