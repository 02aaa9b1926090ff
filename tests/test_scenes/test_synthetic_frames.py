"""Synthetic frames: sensors, calibration and labels agree; colour and rows do not betray depth."""
from dataclasses import replace

import numpy as np
import pytest
from mmdet3d.structures import CameraInstance3DBoxes

from simipu.scenes import scan
from simipu.scenes.kernels import cast_rays
from simipu.scenes.kitti_writer import frame_files, make_frame
from simipu.scenes.view import prepare_view

SIZE = (384, 128)


@pytest.fixture(scope='module')
def frames():
    """Frames of the training split."""
    return [make_frame('training', number, 3, SIZE) for number in range(48)]


def parse_calibration(text: str) -> dict:
    """KITTI's calib file, as its development kit describes it."""
    rows = dict(line.split(':') for line in text.splitlines() if line)
    values = {name: np.array(row.split(), dtype=float) for name, row in rows.items()}
    return {name: row.reshape(3, 3 if name == 'R0_rect' else 4) for name, row in values.items()}


def to_rectified(points: np.ndarray, calibration: dict) -> np.ndarray:
    """LiDAR points (N, 3) in the rectified camera frame."""
    camera = points @ calibration['Tr_velo_to_cam'][:, :3].T + calibration['Tr_velo_to_cam'][:, 3]
    return camera @ calibration['R0_rect'].T


def project(rectified: np.ndarray, calibration: dict) -> tuple:
    """Pixels (N, 2) and depths (N,) in image 2."""
    image = np.concatenate([rectified, np.ones((len(rectified), 1))], 1) @ calibration['P2'].T
    return image[:, :2] / image[:, 2:], image[:, 2]


def ray_through(pixels: np.ndarray, frame) -> np.ndarray:
    """Unit vectors (N, 3), world frame, of a pinhole camera."""
    camera = frame.rig.camera
    k = camera.intrinsics
    rays = np.stack([(pixels[:, 0] - k[0, 2]) / k[0, 0], (pixels[:, 1] - k[1, 2]) / k[1, 1],
                     np.ones(len(pixels))], 1) @ camera.camera_to_world[:3, :3].T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def test_lidar_points_lie_on_the_surface_that_the_camera_sees(frames):
    hidden_share = []
    for frame in frames[:8]:
        calibration = parse_calibration(frame_files(frame)['calib'].decode())
        exact = replace(frame.rig.lidar, range_noise=0.0)
        points = scan(frame.scene, exact, np.random.default_rng(0)).points[:, :3].astype(float)
        pixels, depth = project(to_rectified(points, calibration), calibration)
        seen = (depth > 0.5) & (pixels > -0.5).all(1) & (pixels < np.array(SIZE) - 0.5).all(1)
        assert seen.sum() > 1500
        rays = ray_through(pixels[seen], frame)
        origin = frame.rig.camera.camera_to_world[:3, 3]
        distance, _ = cast_rays(prepare_view(frame.scene.primitives, origin), origin[2],
                                rays[:, None].copy(), np.ones((len(rays), 1), dtype=bool))
        surface = distance[:, 0] * (rays @ frame.rig.camera.camera_to_world[:3, 2])
        gap = (depth[seen] - surface) / depth[seen]
        # A point may be hidden behind something nearer, never float before what the camera sees.
        assert (gap > -0.01).mean() > 0.995
        hidden_share.append((gap > 0.01).mean())
        # The rendered depth image holds the same surface, apart from pixels on outlines.
        column, row = np.rint(pixels[seen]).astype(int).T
        picture = frame.picture.depth[row, column]
        assert (np.abs(picture - surface) < 0.05 * surface).mean() > 0.8
    assert 0.005 < np.mean(hidden_share) < 0.3  # parallax between the sensors


def test_rig_varies_from_frame_to_frame(frames):
    poses = np.array([frame.rig.camera.camera_to_world for frame in frames])
    height, forward, right = poses[:, 2, 3], poses[:, 2, 2], poses[:, 2, 0]
    assert 1.4 < height.min() < 1.55 and 1.75 < height.max() < 1.9
    assert 0.8 < np.rad2deg(np.arcsin(forward)).std() < 3
    assert 0.8 < np.rad2deg(np.arcsin(right)).std() < 3
    # The camera is ahead of the LiDAR and below it, as in KITTI.
    offsets = np.array([(np.linalg.inv(frame.rig.lidar.lidar_to_world) @ pose[:, 3])[:3]
                        for frame, pose in zip(frames, poses)])
    assert (offsets[:, 0] > 0.1).all() and (offsets[:, 2] < -0.04).all()
    assert (np.linalg.norm(offsets, axis=1) < 0.9).all()
    beams = [len(frame.rig.lidar.elevations) for frame in frames]
    assert 32 <= min(beams) < 40 and 56 < max(beams) <= 64


def test_sweep_has_noise_dropout_and_intensity(frames):
    frame = frames[0]
    noisy, exact = frame.rig.lidar, replace(frame.rig.lidar, range_noise=0.0)
    one = scan(frame.scene, noisy, np.random.default_rng(5))
    two = scan(frame.scene, exact, np.random.default_rng(5))
    error = np.linalg.norm(one.points[:, :3], axis=1) - np.linalg.norm(two.points[:, :3], axis=1)
    assert error.std() == pytest.approx(noisy.range_noise, rel=0.05)
    more = scan(frame.scene, replace(noisy, dropout=0.5), np.random.default_rng(5))
    assert len(more.points) / len(one.points) == pytest.approx(0.5 / (1 - noisy.dropout), rel=0.03)
    intensity = one.points[:, 3]
    assert intensity.min() >= 0 and intensity.max() <= 1 and intensity.std() > 0.05
    assert np.linalg.norm(one.points[:, :3], axis=1).max() < noisy.max_range + 1


def labelled(frame) -> list:
    """(object, values) of each label line; values as in KITTI's devkit, without the class name."""
    calibration = parse_calibration(frame_files(frame)['calib'].decode())
    to_lidar = np.linalg.inv(frame.rig.lidar.lidar_to_world)
    found = []
    for line in frame_files(frame)['label_2'].decode().splitlines():
        name, *numbers = line.split()
        values = np.array(numbers, dtype=float)
        if name == 'DontCare':
            continue
        middle = values[10:13] - (0, values[7] / 2, 0)
        centres = np.array([(to_lidar @ np.append(item.centre, 1))[:3]
                            for item in frame.scene.objects])
        gaps = np.linalg.norm(to_rectified(centres, calibration) - middle, axis=1)
        assert gaps.min() < 1e-3
        assert frame.scene.objects[gaps.argmin()].class_name == name
        found.append((int(gaps.argmin()), values))
    return found


def tilt_of(frame) -> float:
    """Sine of the camera's tilt against the ground, which KITTI's boxes cannot follow."""
    world_to_rectified = frame.rig.lidar_to_rectified() @ np.linalg.inv(
        frame.rig.lidar.lidar_to_world)
    return np.linalg.norm(np.cross(world_to_rectified[:3, 2], (0, 1, 0)))


def test_points_on_objects_lie_in_their_labelled_boxes(frames):
    checked = 0
    for frame in frames[:24]:
        calibration = parse_calibration(frame_files(frame)['calib'].decode())
        points = to_rectified(frame.sweep.points[:, :3].astype(float), calibration)
        for number, values in labelled(frame):
            height, width, length, x, y, z, yaw = values[7:]
            mine = points[frame.sweep.instance == number] - (x, y, z)
            forward = np.array([np.cos(yaw), 0, -np.sin(yaw)])
            side = np.array([np.sin(yaw), 0, np.cos(yaw)])
            radius = 0.5 * np.linalg.norm([height, width, length])
            slack = radius * tilt_of(frame) + 5 * frame.rig.lidar.range_noise
            assert (np.abs(mine @ forward) <= length / 2 + slack).all()
            assert (np.abs(mine @ side) <= width / 2 + slack).all()
            assert ((-mine[:, 1] >= -slack) & (-mine[:, 1] <= height + slack)).all()
            checked += len(mine)
    assert checked > 2000


def test_solids_of_an_object_lie_in_its_upright_box(frames):
    for frame in frames:
        solids = frame.scene.primitives
        for number, item in enumerate(frame.scene.objects):
            mine = solids[solids['instance'] == number]
            cos, sin = np.cos(item.yaw), np.sin(item.yaw)
            axes = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
            turned = axes @ mine['rotation'] * mine['half_size'][:, None]
            # Reach along an axis: of a box the sum over its own axes, of an ellipsoid the root of
            # squares.
            reach = np.where((mine['kind'] == 1)[:, None], np.linalg.norm(turned, axis=2),
                             np.abs(turned).sum(2))
            tube = np.hypot(np.linalg.norm(turned[..., :2], axis=2), 0) + np.abs(turned[..., 2])
            reach = np.where((mine['kind'] == 2)[:, None], tube, reach)
            offset = np.abs((mine['centre'] - item.centre) @ axes.T) + reach
            assert (offset <= np.array(item.size) / 2 + 0.03).all(), item


def test_labels_agree_with_mmdet3d_boxes(frames):
    checked, levels = 0, set()
    for frame in frames:
        for _, values in labelled(frame):
            truncation, occlusion, alpha = values[:3]
            left, top, right, bottom = values[3:7]
            height, width, length = values[7:10]
            box = CameraInstance3DBoxes([[*values[10:13], length, height, width, values[13]]])
            corners = box.corners[0].numpy().astype(float)
            levels.add(int(occlusion))
            assert alpha == pytest.approx(
                (values[13] - np.arctan2(values[10], values[12]) + np.pi) % (2 * np.pi) - np.pi,
                abs=1e-3)
            if corners[:, 2].min() < 0.2:
                continue
            pixels, _ = project(corners, frame.rig.calibration)
            whole = np.concatenate([pixels.min(0), pixels.max(0)])
            limits = np.array([SIZE[0] - 1, SIZE[1] - 1] * 2)
            np.testing.assert_allclose([left, top, right, bottom],
                                       np.clip(whole, 0, limits),
                                       atol=0.05)
            inside = (right - left) * (bottom - top) / np.prod(whole[2:] - whole[:2])
            assert truncation == pytest.approx(1 - inside, abs=0.01)
            checked += 1
    assert checked > 60 and levels == {0, 1, 2}


def test_instance_pixels_lie_in_their_2d_boxes(frames):
    for frame in frames:
        for number, values in labelled(frame):
            rows, columns = np.nonzero(frame.picture.instance == number)
            depth = frame.picture.depth[rows, columns].min()

            pixels_per_metre = frame.rig.camera.intrinsics[0, 0] / depth
            slack = 1 + np.linalg.norm(values[7:10]) * tilt_of(frame) * pixels_per_metre
            assert values[3] - slack <= columns.min() and columns.max() <= values[5] + slack
            assert values[4] - slack <= rows.min() and rows.max() <= values[6] + slack


def explained(features: np.ndarray, target: np.ndarray) -> float:
    """Share of the second half's variance that ridge regression on the first half explains."""
    half = len(target) // 2
    mean, deviation = features[:half].mean(0), features[:half].std(0) + 1e-9
    scaled = (features - mean) / deviation
    train, test = scaled[:half], scaled[half:]
    offset = target[:half].mean()
    ridge = 10 * np.eye(train.shape[1])
    weights = np.linalg.solve(train.T @ train + ridge,
                              train.T @ (target[:half] - offset))
    return 1 - np.mean((test @ weights + offset - target[half:])**2) / target[half:].var()


def test_neither_colour_nor_row_alone_tell_the_depth(frames):
    rng = np.random.default_rng(0)
    colours, rows, depths = [], [], []
    for frame in frames:
        row, column = np.nonzero(frame.picture.depth < 80)
        some = rng.choice(len(row), 1500)
        row, column = row[some], column[some]
        colours.append(frame.picture.image[row, column] / 255.0)
        rows.append(row / SIZE[1])
        depths.append(np.log(frame.picture.depth[row, column]))
    colour, row, depth = np.concatenate(colours), np.concatenate(rows), np.concatenate(depths)
    products = np.stack([colour[:, i] * colour[:, j] for i in range(3) for j in range(i, 3)], 1)
    by_colour = explained(np.concatenate([colour, products], 1), depth)
    by_row = explained(np.stack([row**power for power in range(1, 6)], 1), depth)
    print(f'share of log depth explained by colour {by_colour:.3f}, by row {by_row:.3f}')
    assert by_colour < 0.1
    assert by_row < 0.6
