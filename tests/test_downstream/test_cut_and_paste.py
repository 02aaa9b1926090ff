"""Multi-modality cut-and-paste: on frames made by hand, on generated ones and on real ones."""
import copy
import inspect
import pickle
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import mmdet3d
import numpy as np
import pytest
from mmdet3d.datasets.transforms import DataBaseSampler
from mmdet3d.datasets.transforms.data_augment_utils import box_collision_test
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmdet3d.structures.points import LiDARPoints
from mmengine.config import Config
from mmengine.registry import DefaultScope

from simipu.config import check_config
from simipu.downstream import MultiModalCutAndPaste
from simipu.engine.launch import with_data_root
from simipu.errors import DataError, user_message
from simipu.scenes import generate_dataset

pytestmark = pytest.mark.usefixtures('mmdet3d_scope')
CONFIG = Path(__file__).parents[2] / 'configs' / 'downstream' / 'mvxnet_r50_{}_kitti-3d-3class.py'
CLASSES = ['Pedestrian', 'Cyclist', 'Car']
VAN, DONT_CARE, CAR = 3, -1, 2  # as mmdet3d numbers them in its info files
HEIGHT, WIDTH = 100, 200
LIDAR2CAM = np.array([[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1.0]])


def lidar2img(focal: float = 100, centre: Sequence[float] = (99.5, 49.5)) -> np.ndarray:
    camera = np.eye(4)
    camera[0, 0] = camera[1, 1] = focal
    camera[:2, 2] = centre
    return camera @ LIDAR2CAM


def pixels_of(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 2) projections of (N, 3)."""
    homogeneous = np.insert(points[:, :3], 3, 1, axis=1) @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:3]


def bounds_of(box: Sequence[float], matrix: np.ndarray) -> np.ndarray:
    """(4,) of the projected corners of an upright box that is not turned, within the image."""
    x, y, z, length, width, height = box[:6]
    corners = np.array([(x + a * length, y + b * width, z + c * height)
                        for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (0, 1)])
    pixels = pixels_of(corners, matrix)
    return np.clip([*pixels.min(0), *pixels.max(0)], 0, [WIDTH - 1, HEIGHT - 1] * 2)


def instance_of(box: Sequence[float], matrix: np.ndarray, label: int = CAR, occluded: int = 0) -> dict:
    """A label as in mmdet3d's info file, of a box in the LiDAR frame."""
    place = LIDAR2CAM @ [*box[:3], 1]
    length, width, height = box[3:6]
    return dict(bbox=bounds_of(box, matrix).tolist(), bbox_label=label, bbox_label_3d=label,
                bbox_3d=[*place[:3], length, height, width, -np.pi / 2], occluded=occluded)


IGNORED = dict(bbox=[0, 0, 9, 9], bbox_label=-1, bbox_label_3d=-1, bbox_3d=[-1000] * 3 + [-1] * 3 + [-10],
               occluded=-1)


def car(x: float, y: float = 0.0, length: float = 2.0, width: float = 3.0) -> list:
    return [x, y, -1.5, length, width, 1.5, 0.0]


def points_in(box: Sequence[float], count: int = 40, seed: int = 0) -> np.ndarray:
    """(count, 4) float32 in the LiDAR frame."""
    rng = np.random.default_rng(seed)
    inside = rng.uniform([-0.45, -0.45, 0.05, 0], [0.45, 0.45, 0.95, 1], (count, 4))
    return (inside * [*box[3:6], 1] + [*box[:3], 0]).astype(np.float32)


def rows_columns(bounds: np.ndarray) -> tuple:
    """The pixels whose square bounds touch, (0, 0) being the centre of the first."""
    left, top, right, bottom = np.floor(np.asarray(bounds) + 0.5).astype(int)
    return slice(top, bottom + 1), slice(left, right + 1)


class Database(NamedTuple):
    root: Path
    images: list  # of the source frames


def write_database(root: Path, *frames: tuple, images: Sequence[np.ndarray] = ()) -> Database:
    """Info file, database and images of frames ``(lidar2img, [(box, label, occluded), ...])``."""
    rng = np.random.default_rng(7)
    images = images or [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in frames]
    (root / 'images').mkdir()
    (root / 'objects').mkdir()
    infos, objects = [], {}
    for index, (matrix, boxes) in enumerate(frames):
        cv2.imwrite(str(root / f'images/{index}.png'), images[index])
        camera = dict(img_path=f'{index}.png', lidar2img=matrix.tolist(), lidar2cam=LIDAR2CAM.tolist())
        instances = [instance_of(box, matrix, label, occluded) for box, label, occluded in boxes]
        # Between the others, so that its place counts.
        infos.append(dict(sample_idx=100 + index, images=dict(CAM2=camera), instances=[IGNORED, *instances]))
        for number, (box, label, _) in enumerate(boxes):
            name = [*CLASSES, 'Van'][label]
            points = points_in(box, seed=number)
            path = f'objects/{index}_{name}_{number}.bin'
            (points - np.float32([*box[:3], 0])).tofile(root / path)
            objects.setdefault(name, []).append(dict(
                name=name, path=path, image_idx=index, gt_idx=number, difficulty=0, group_id=number,
                box3d_lidar=np.array(box, dtype=np.float32), num_points_in_gt=len(points)))
    (root / 'infos.pkl').write_bytes(pickle.dumps(dict(metainfo={}, data_list=infos)))
    (root / 'dbinfos.pkl').write_bytes(pickle.dumps(objects))
    return Database(root, images)


def build(database: Database, cars: int = 9, max_covered: float = 0.5, sampler: dict = {},
          **kwargs) -> MultiModalCutAndPaste:
    root = database.root
    settings = dict(info_path=str(root / 'dbinfos.pkl'), data_root=str(root), rate=1.0, classes=CLASSES,
                    ann_file=str(root / 'infos.pkl'), img_prefix=str(root / 'images'), prepare={},
                    sample_groups=dict(Car=cars))
    return TRANSFORMS.build(dict(type='MultiModalCutAndPaste', max_covered=max_covered,
                                 db_sampler=dict(settings, **sampler), **kwargs))


def frame(*own: tuple, points: np.ndarray = np.zeros((0, 4), np.float32), **changes) -> dict:
    """A loaded frame with its own objects ``(box, label)`` before a noisy image."""
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    trained = [(box, label) for box, label in own if label < len(CLASSES)]
    boxes = np.array([box for box, _ in trained], dtype=np.float32).reshape(-1, 7)
    return dict(
        img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2], lidar2img=lidar2img(),
        lidar2cam=LIDAR2CAM, points=LiDARPoints(points, points_dim=4),
        instances=[IGNORED, *(instance_of(box, lidar2img(), label) for box, label in own)],
        gt_bboxes_3d=LiDARInstance3DBoxes(boxes),
        gt_labels_3d=np.array([label for _, label in trained], dtype=np.int64), **changes)


def test_patch_points_and_labels_of_the_same_calibration(tmp_path):
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)]))
    background = np.concatenate([points_in(car(10, 2), 30, seed=5), points_in(car(10, -2), 30, seed=6)])
    before = frame((car(15, -5), CAR), points=background)
    after = build(database).transform(copy.deepcopy(before))
    where = rows_columns(bounds_of(car(10, 2), lidar2img()))
    expected = before['img'].copy()
    expected[where] = database.images[0][where]
    np.testing.assert_array_equal(after['img'], expected)
    # The points of the object, and of the cloud all but those where it is now.
    expected = np.concatenate([points_in(car(10, 2)), background[30:]])
    np.testing.assert_allclose(after['points'].tensor.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(after['gt_bboxes_3d'].numpy(), [car(15, -5), car(10, 2)], atol=1e-6)
    assert after['gt_labels_3d'].tolist() == [CAR, CAR] and after['gt_labels_3d'].dtype == np.int64


def test_patch_follows_the_calibration(tmp_path):
    """Where only focal length and centre differ, it is known which pixel goes where."""
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    ramp = np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8)
    database = write_database(tmp_path, (lidar2img(120, (90, 45)), [(car(10, 2), CAR, 0)]), images=[ramp])
    before = frame()
    after = build(database).transform(copy.deepcopy(before))
    rows, columns = rows_columns(bounds_of(car(10, 2), lidar2img()))
    changed = (after['img'] != before['img']).any(-1)
    assert changed[rows, columns].mean() > 0.99 and changed.sum() == changed[rows, columns].sum()
    v, u = np.mgrid[rows, columns]
    found = after['img'][rows, columns].astype(float)
    np.testing.assert_allclose(found[..., 0], (u - 99.5) * 1.2 + 90, atol=0.6)
    np.testing.assert_allclose(found[..., 1], (v - 49.5) * 1.2 + 45, atol=0.6)
    pixels = pixels_of(after['points'].tensor.numpy(), lidar2img())
    assert len(pixels) == 40
    assert (pixels >= [columns.start - 0.5, rows.start - 0.5]).all()
    assert (pixels <= [columns.stop - 0.5, rows.stop - 0.5]).all()


def test_rate_of_nothing_pastes_nothing(tmp_path):
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)]))
    before = frame((car(15, -5), CAR), points=points_in(car(10, 2)))
    after = build(database, sampler=dict(rate=0.0)).transform(copy.deepcopy(before))
    np.testing.assert_array_equal(after['img'], before['img'])
    np.testing.assert_array_equal(after['points'].tensor, before['points'].tensor)
    assert len(after['gt_bboxes_3d']) == len(after['gt_labels_3d']) == 1


@pytest.mark.parametrize('label', [CAR, VAN])
def test_nearer_objects_stay_in_front(label, tmp_path):
    """Also those that are not trained for; and pasted ones are in front of what is farther."""
    middle = car(14)
    near, far = car(8, 1.4, width=1), car(25, -3.2)
    database = write_database(tmp_path, (lidar2img(), [(middle, CAR, 0)]))
    before = frame((near, label), (far, label))
    after = build(database).transform(copy.deepcopy(before))
    expected = before['img'].copy()
    for box, image in ((middle, database.images[0]), (near, before['img'])):
        where = rows_columns(bounds_of(box, lidar2img()))
        expected[where] = image[where]
    np.testing.assert_array_equal(after['img'], expected)
    own = 2 * (label == CAR)
    assert len(after['gt_bboxes_3d']) == len(after['gt_labels_3d']) == own + 1


def test_pasted_objects_are_drawn_from_far_to_near(tmp_path):
    boxes = [car(14), car(8, 1.4, width=1), car(25, -3.2)]
    database = write_database(tmp_path, *((lidar2img(), [(box, CAR, 0)]) for box in boxes))
    before = frame()
    after = build(database).transform(copy.deepcopy(before))
    expected = before['img'].copy()
    for index in (2, 0, 1):
        where = rows_columns(bounds_of(boxes[index], lidar2img()))
        expected[where] = database.images[index][where]
    np.testing.assert_array_equal(after['img'], expected)


def covered(back: Sequence[float], *front: Sequence[float]) -> float:
    """Share of the pixels of one box that others cover."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for box in front:
        mask[rows_columns(bounds_of(box, lidar2img()))] = True
    return mask[rows_columns(bounds_of(back, lidar2img()))].mean()


@pytest.mark.parametrize('pasted_in_front', [False, True])
def test_objects_that_would_be_hidden_too_much(pasted_in_front, tmp_path):
    """Two of the frame's own hide it together, or it and one of the own hide another."""
    left, right, back = car(8, 0.9, width=1), car(8, -0.9, width=1), car(20)
    shares = covered(back, left), covered(back, right), covered(back, left, right)
    assert 0.2 < max(shares[:2]) < shares[2] - 0.1
    pasted, own = (left, (back, right)) if pasted_in_front else (back, (left, right))
    database = write_database(tmp_path, (lidar2img(), [(pasted, CAR, 0)]))
    for limit, taken in ((shares[2] + 0.001, 1), (shares[2] - 0.001, 0)):
        after = build(database, max_covered=limit).transform(frame(*((box, CAR) for box in own)))
        assert len(after['gt_bboxes_3d']) == 2 + taken
    # One of several numbers is drawn for each frame.
    several = build(database, max_covered=[0.0, 1.0])
    counts = {len(several.transform(frame(*((box, CAR) for box in own)))['gt_bboxes_3d'])
              for _ in range(20)}
    assert counts == {2, 3}


def test_objects_outside_the_image_behind_the_camera_or_occluded_are_left_out(tmp_path):
    boxes = [car(10, 10.5), car(0.5, 0), car(10, -2), car(14, 4)]
    database = write_database(tmp_path, (lidar2img(), [(box, CAR, 2 * (box is boxes[2])) for box in boxes]))
    # This frame's camera sees half of the last, and nothing of the first.
    matrix = lidar2img(centre=(38, 49.5))
    expected = [boxes[3]]
    for share, levels in ((0.3, 0), (0.3, 2), (0.9, 0)):
        transform = build(database, min_inside=share, sampler=dict(max_occlusion=levels))
        after = transform.transform(dict(frame(), lidar2img=matrix))
        found = after['gt_bboxes_3d'].numpy()[:, :2].tolist()
        expected = ([boxes[2]] if levels else []) + ([boxes[3]] if share < 0.5 else [])
        assert sorted(found) == sorted(box[:2] for box in expected)


def test_a_frame_does_not_get_its_own_object_again(tmp_path):
    """mmdet3d's collision test says that equal boxes do not collide."""
    corners = np.array([[[0, 0], [0, 1], [1, 1], [1, 0.0]]])
    assert not box_collision_test(corners, corners).any()
    assert box_collision_test(corners, corners + 0.1).all()
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)]))
    for box, count in ((car(10, 2), 1), (car(10.5, 2.2), 1), (car(10, -3), 2)):
        assert len(build(database).transform(frame((box, CAR)))['gt_bboxes_3d']) == count


@pytest.mark.parametrize('remove_hidden', [True, False])
def test_points_behind_what_the_image_shows(remove_hidden, tmp_path):
    """Of the frame those behind a pasted object, of a pasted object those behind any other."""
    back, own = car(20, 0), car(10, -0.6, width=1)
    database = write_database(tmp_path, (lidar2img(), [(back, CAR, 0)]))
    x, y = np.meshgrid([8, 30], np.linspace(-0.95, 1.05, 9))
    wall = np.stack([x, y * x / 20, 0 * x - 0.6, 0 * x + 7], axis=-1).reshape(-1, 4).astype(np.float32)
    after = build(database, max_covered=0.9, remove_hidden=remove_hidden).transform(
        frame((own, CAR), points=wall))
    found = after['points'].tensor.numpy()
    ours, theirs = found[found[:, 3] > 2], found[found[:, 3] < 2]
    covers = rows_columns(bounds_of(own, lidar2img()))[1]
    pixels = pixels_of(points_in(back), lidar2img())[:, 0]
    shown = (pixels < covers.start - 0.5) | (pixels > covers.stop - 0.5)
    assert 0 < shown.sum() < 40
    assert len(theirs) == (shown.sum() if remove_hidden else 40)
    # Before the pasted object nothing goes; behind it, all but what the frame's own car hid before.
    assert (ours[:, 0] == 8).sum() == 9
    pixels = pixels_of(wall, lidar2img())[:, 0]
    behind = (wall[:, 0] == 30) & (pixels >= covers.start - 0.5) & (pixels <= covers.stop - 0.5)
    assert (ours[:, 0] == 30).sum() == (behind.sum() if remove_hidden else 9)


def test_2d_boxes_where_they_are_loaded(tmp_path):
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)]))
    after = build(database).transform(frame(
        (car(15, -5), CAR), gt_bboxes=np.float32([[1, 2, 3, 4]]), gt_bboxes_labels=np.array([2])))
    assert after['gt_bboxes'].dtype == np.float32 and after['gt_bboxes_labels'].tolist() == [2, 2]
    np.testing.assert_allclose(after['gt_bboxes'][1], bounds_of(car(10, 2), lidar2img()), atol=0.51)


def test_numpys_seed_decides(tmp_path):
    boxes = [car(x, y, width=1) for x in (10, 16, 22) for y in (-3, 0, 3)]
    database = write_database(tmp_path, (lidar2img(), [(box, CAR, 0) for box in boxes]))
    results = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        results.append(build(database, cars=3).transform(frame()))
    first, same, other = results
    assert len(first['gt_bboxes_3d']) > 0
    for key in ('img', 'gt_labels_3d'):
        np.testing.assert_array_equal(first[key], same[key])
    for key in ('points', 'gt_bboxes_3d'):
        np.testing.assert_array_equal(first[key].numpy(), same[key].numpy())
    assert not np.array_equal(first['img'], other['img'])


def change(database: Database, name: str, edit) -> None:
    content = pickle.loads((database.root / name).read_bytes())
    edit(content)
    (database.root / name).write_bytes(pickle.dumps(content))


def drop_field(content: dict) -> None:
    del content['data_list'][0]['images']['CAM2']['lidar2img']


def move_object(content: dict) -> None:
    content['Car'][0]['box3d_lidar'][0] += 0.5


def drop_frame(content: dict) -> None:
    content['data_list'].clear()


def drop_points(content: dict) -> None:
    content['Car'][0]['num_points_in_gt'] = 7


@pytest.mark.parametrize('breaking, message', [
    (lambda data: (data.root / 'dbinfos.pkl').unlink(),
     r'dbinfos\.pkl: no such file; expected the database of objects .* write it with mmdet3d.s create_data'),
    (lambda data: (data.root / 'infos.pkl').unlink(), r'infos\.pkl: no such file; expected the info file'),
    (lambda data: change(data, 'dbinfos.pkl', lambda content: content.pop('Car')),
     r"dbinfos\.pkl: expected objects of the class 'Car', found only Van; check its spelling"),
    (lambda data: change(data, 'infos.pkl', drop_field),
     r'infos\.pkl: frame 0: images\.CAM2: expected lidar2img \(4 x 4 finite numbers\), found img_path, lidar2cam\.'),
    (lambda data: change(data, 'dbinfos.pkl', move_object),
     r'infos\.pkl: expected the object of objects/0_Car_0\.bin \(.*dbinfos\.pkl\) as number 0 of frame 0, '
     r'both from 0, found another 3D box or none; the two files are not of one run: write both anew'),
    (lambda data: change(data, 'infos.pkl', drop_frame), r'number 0 of frame 0, .* found another 3D box or'),
])
def test_wrong_files_are_one_line(breaking, message, tmp_path):
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0), (car(10, -2), VAN, 0)]))
    breaking(database)
    with pytest.raises(DataError, match=message) as caught:
        build(database)
    assert '\n' not in user_message(caught.value)


@pytest.mark.parametrize('breaking, message', [
    (lambda data: (data.root / 'objects/0_Car_0.bin').unlink(),
     r'0_Car_0\.bin: no such file; expected the points of an object of .*; set data_root of the db_sampler'),
    (lambda data: (data.root / 'images/0.png').unlink(),
     r'images/0\.png: no such file; expected the image of an object in .*dbinfos\.pkl; check img_prefix'),
    (lambda data: (data.root / 'images/0.png').write_bytes(b'no image'),
     r'images/0\.png: expected an image, but it cannot be decoded .*; copy the file again'),
    (lambda data: change(data, 'dbinfos.pkl', drop_points),
     r'objects/0_Car_0\.bin: 640 bytes, expected 7 points of 4 float32 values, as .*dbinfos\.pkl says; set load_dim'),
])
def test_files_that_turn_out_wrong_when_pasted_are_one_line(breaking, message, tmp_path):
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)]))
    breaking(database)
    transform = build(database)
    with pytest.raises(DataError, match=message) as caught:
        transform.transform(frame())
    assert '\n' not in user_message(caught.value)


@pytest.mark.parametrize('changes, message', [
    (dict(gt_bboxes_3d=None), 'no `gt_bboxes_3d` in the frame; expected LoadAnnotations3D before it'),
    (dict(img=None), 'no `img` in the frame; expected LoadImageFromFile before it'),
    (dict(lidar2img=None), r'no `lidar2img` in the frame; expected a KittiDataset .*use_camera=True'),
    (dict(img=[np.zeros((9, 9, 3))]), r'expected one image and one lidar2img \(4, 4\), found `img` of type '),
    (dict(scale_factor=2.0), 'as it was loaded, found scale_factor; put it right after LoadAnnotations3D'),
    (dict(pcd_rotation=np.eye(3)), 'as it was loaded, found pcd_rotation; put it'),
    (dict(pcd_horizontal_flip=False), 'as it was loaded, found pcd_horizontal_flip; put it'),
    (dict(img=np.zeros((50, 100, 3))), r'found ori_shape \(100, 200\) of an image of \(50, 100\); put it'),
    (dict(centers_2d=np.zeros((1, 2))), 'found `centers_2d`, which pasted objects do not have; set'),
])
def test_wrong_place_in_the_pipeline_is_one_line(changes, message, tmp_path):
    transform = build(write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)])))
    results = {key: value for key, value in dict(frame(), **changes).items() if value is not None}
    with pytest.raises(ValueError, match=f'MultiModalCutAndPaste: .*{message}') as caught:
        transform.transform(results)
    assert '\n' not in user_message(caught.value)


@pytest.mark.parametrize('settings, name', [(dict(max_covered=1.5), 'max_covered'),
                                            (dict(max_covered=[]), 'max_covered'),
                                            (dict(min_inside=-0.1), 'min_inside')])
def test_shares_out_of_range_are_one_line(settings, name, tmp_path):
    database = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)]))
    with pytest.raises(ValueError, match=f'MultiModalCutAndPaste: {name}: expected shares from 0 to 1,'):
        build(database, **settings)


def test_mmdet3d_cannot_do_it_itself(tmp_path):
    """Fails when it can, so that our own way can be reconsidered."""
    assert 'gt_bboxes_2d' not in inspect.signature(DataBaseSampler.sample_all).parameters
    if 'long' in vars(np):
        pytest.skip('this numpy has np.long')
    root = write_database(tmp_path, (lidar2img(), [(car(10, 2), CAR, 0)])).root
    sampler = DataBaseSampler(str(root / 'dbinfos.pkl'), str(root), 1.0, {}, dict(Car=1), CLASSES)
    with pytest.warns(FutureWarning), pytest.raises(AttributeError, match='long'):
        sampler.sample_all(np.zeros((0, 7)), np.zeros(0))


def training_set(root: Path, pasting: bool, **changes):
    """The data set of the shipped config as it is loaded, with or without cut-and-paste."""
    cfg = with_data_root(Config.fromfile(str(CONFIG).format('simipu')), str(root))
    check_config(cfg)
    settings = cfg.train_dataloader.dataset.dataset
    types = [step.type for step in settings.pipeline]
    assert types.index('MultiModalCutAndPaste') == types.index('LoadAnnotations3D') + 1 == 3
    settings.pipeline = settings.pipeline[:3 + pasting]
    if pasting:
        settings.pipeline[3].update(max_covered=0.7)
        settings.pipeline[3].db_sampler.update(changes)
    return DATASETS.build(settings)


def colours(image: np.ndarray, points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 3) of the pixels on which points fall."""
    column, row = np.floor(pixels_of(points, matrix) + 0.5).astype(int).T
    return image[row.clip(0, len(image) - 1), column.clip(0, image.shape[1] - 1)].astype(float)


def objects_of(root: Path) -> list:
    """The database's entries of the classes that are trained for."""
    content = pickle.loads((root / 'kitti_dbinfos_train.pkl').read_bytes())
    return [info for name in CLASSES for info in content.get(name, [])]


def inside_of(box: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of (N, 4) are in a box (7,), turned about the vertical axis."""
    x, y, z = (points[:, :3] - box[:3]).T
    cos, sin = np.cos(box[6]), np.sin(box[6])
    along, across = cos * x + sin * y, cos * y - sin * x
    length, width, height = box[3:6]
    return (abs(along) <= length / 2) & (abs(across) <= width / 2) & (z >= 0) & (z <= height)


def check_pasted(plain, pasting, known: Sequence[dict]) -> int:
    """Each pasted object's points have the colour that they have in their own frame; returns how many."""
    count = 0
    for index in range(len(plain)):
        before, after = plain[index], pasting[index]
        own = len(before['gt_bboxes_3d'])
        assert len(after['gt_bboxes_3d']) == len(after['gt_labels_3d'])
        np.testing.assert_array_equal(after['gt_bboxes_3d'].numpy()[:own], before['gt_bboxes_3d'].numpy())
        assert after['img'].shape == before['img'].shape
        for box, label in zip(after['gt_bboxes_3d'].numpy()[own:], after['gt_labels_3d'][own:]):
            source, = [info for info in known if np.allclose(info['box3d_lidar'], box)]
            assert source['name'] == CLASSES[label] and source['image_idx'] != index
            origin = plain[source['image_idx']]
            points = after['points'].tensor.numpy()
            points = points[inside_of(box, points)]
            # What is behind another object has gone; nothing else but its own points is there.
            assert 0 < len(points) <= source['num_points_in_gt']
            here = colours(after['img'], points, after['lidar2img'])
            there = colours(origin['img'], points, origin['lidar2img'])
            elsewhere = colours(before['img'], points, after['lidar2img'])
            assert np.abs(here - there).mean() < 0.5 * np.abs(elsewhere - there).mean()
            count += 1
    return count


def test_both_twins_paste():
    for name in ('simipu', 'scratch'):
        cfg = Config.fromfile(str(CONFIG).format(name))
        steps = [step.type for step in cfg.train_dataloader.dataset.dataset.pipeline]
        assert steps.index('LoadAnnotations3D') + 1 == steps.index('MultiModalCutAndPaste')
        assert not re.search('CutAndPaste', str([cfg.val_dataloader, cfg.test_dataloader]))


def create_data(root: Path) -> None:
    """mmdet3d's own preparation: info files, reduced clouds and the database of objects."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(mmdet3d.__file__).parent / '.mim'))
        patch.setattr(sys, 'argv', ['create_data.py', 'kitti'])  # parsed when imported
        from tools.dataset_converters import update_infos_to_v2

        from tools.create_data import kitti_data_prep
        patch.setattr(update_infos_to_v2.time, 'sleep', lambda seconds: None)  # before overwriting
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            kitti_data_prep(str(root), 'kitti', 'v1.0', str(root))


@pytest.fixture(scope='module')
def generated_kitti(tmp_path_factory) -> Path:
    """Four generated frames for training, one for validation and one for testing."""
    root = tmp_path_factory.mktemp('generated') / 'kitti'
    generate_dataset(root, 5, seed=3, image_size=(384, 128), num_workers=1, val_fraction=0.2)
    create_data(root)
    return root


@pytest.mark.filterwarnings('ignore')
def test_shipped_config_on_generated_frames(generated_kitti):
    known = objects_of(generated_kitti)
    names = sorted({info['name'] for info in known})
    np.random.seed(0)
    changes = dict(prepare=dict(filter_by_min_points=dict.fromkeys(names, 5)),
                   sample_groups=dict.fromkeys(names, 6))
    plain, pasting = (training_set(generated_kitti, pasting, **changes) for pasting in (False, True))
    assert check_pasted(plain, pasting, known) > 1


@pytest.fixture(scope='module')
def real_kitti(real_data, tmp_path_factory) -> Path:
    """Three labelled frames gone through mmdet3d's preparation; a fourth without labels is for testing."""
    source, root = real_data / 'kitti' / 'training', tmp_path_factory.mktemp('real') / 'kitti'
    numbers = sorted(path.stem for path in (source / 'label_2').glob('*.txt'))
    others = sorted(path.stem for path in (source / 'calib').glob('*.txt') if path.stem not in numbers)
    if len(numbers) < 2 or not others:
        pytest.skip(f'{source}: needs two labelled frames and one without labels')
    for split, frames in (('training', numbers), ('testing', others[:1])):
        for path in (path for number in frames for path in source.glob(f'*/{number}.*')):
            (root / split / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / split / path.parent.name / path.name)
    (root / 'ImageSets').mkdir()
    for split, frames in dict(train=numbers, val=numbers[:1], trainval=numbers, test=others[:1]).items():
        (root / 'ImageSets' / f'{split}.txt').write_text('\n'.join(frames) + '\n')
    create_data(root)
    return root


@pytest.mark.filterwarnings('ignore')
def test_shipped_config_on_real_frames(real_kitti):
    np.random.seed(0)
    plain, pasting = (training_set(real_kitti, pasting) for pasting in (False, True))
    assert check_pasted(plain, pasting, objects_of(real_kitti)) > 1
