"""The synthetic KITTI folder: same bytes, resumable, readable by mmdet3d."""
import importlib.util
import json
from pathlib import Path

import cv2
import mmdet3d
import numpy as np
import pytest

from simipu.errors import ConfigError, DataError
from simipu.scenes import generate_dataset
from simipu.scenes.kitti_writer import make_frame

SIZE = (96, 48)


def contents(folder: Path) -> dict:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*') if path.is_file()
    }


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """Four frames and one for testing, made by one process."""
    folder = tmp_path_factory.mktemp('synthetic') / 'one'
    generate_dataset(folder, 4, seed=5, image_size=SIZE, num_workers=1, val_fraction=0.25)
    return folder


def test_layout_is_kitti_s(made):
    frames = {'000000', '000001', '000002', '000003'}
    suffixes = {'image_2': '.png', 'velodyne': '.bin', 'calib': '.txt', 'label_2': '.txt'}
    for name, suffix in suffixes.items():
        found = {path.name for path in (made / 'training' / name).iterdir()}
        assert found == {frame + suffix for frame in frames}
    assert cv2.imread(str(made / 'training/image_2/000000.png')).shape == (SIZE[1], SIZE[0], 3)
    points = np.fromfile(made / 'training/velodyne/000000.bin', dtype=np.float32).reshape(-1, 4)
    assert len(points) > 10000 and np.isfinite(points).all()
    splits = {name: (made / 'ImageSets' / f'{name}.txt').read_text().split()
              for name in ('train', 'val', 'trainval', 'test')}
    assert splits['train'] == ['000000', '000001', '000002'] and splits['val'] == ['000003']
    assert splits['trainval'] == sorted(frames) and splits['test'] == ['000000']
    assert not (made / 'testing/label_2').exists()
    assert len({path.read_bytes() for path in made.rglob('*.bin')}) == 5  # every frame is another


def test_same_seed_same_bytes_whatever_the_workers(made, tmp_path):
    generate_dataset(tmp_path / 'two', 4, seed=5, image_size=SIZE, num_workers=2, val_fraction=0.25)
    assert contents(tmp_path / 'two') == contents(made)
    generate_dataset(tmp_path / 'other', 4, seed=6, image_size=SIZE, num_workers=2)
    other, first = contents(tmp_path / 'other'), contents(made)
    assert other.keys() == first.keys()
    assert not any(other[name] == first[name] for name in first if name.endswith(('.png', '.bin')))


def test_stopped_or_shorter_run_is_completed(made, tmp_path):
    folder = tmp_path / 'part'
    generate_dataset(folder, 2, seed=5, image_size=SIZE, num_workers=1)
    (folder / 'training/velodyne/000001.bin').unlink()
    (folder / 'training/image_2/000002.png.part').write_bytes(b'half a pic')
    kept = folder / 'training/image_2/000000.png'
    before = kept.stat().st_mtime_ns
    generate_dataset(folder, 4, seed=5, image_size=SIZE, num_workers=1, val_fraction=0.25)
    assert contents(folder) == contents(made)
    assert kept.stat().st_mtime_ns == before


def test_the_yard_is_another_world(made, tmp_path):
    """Nothing is labelled, the camera is higher and its lens longer, and the cloud still lies on the picture."""
    frames = [make_frame('training', frame, 5, SIZE, 'yard') for frame in range(3)]
    for frame in frames:
        assert not frame.scene.objects and (frame.picture.instance == -1).all()
        assert 2.2 < frame.rig.camera.camera_to_world[2, 3] < 3.6
        assert frame.rig.camera.intrinsics[0, 0] == pytest.approx(0.95 * SIZE[0], rel=0.03)
        pixels, depth = projected(frame)
        inside = ((pixels >= 0) & (pixels < SIZE)).all(1) & (depth > 0)
        column, row = pixels[inside].T
        seen = frame.picture.depth[row, column]
        assert inside.sum() > 100 and np.median(np.abs(seen / depth[inside] - 1)) < 0.05
    generate_dataset(tmp_path, 1, seed=5, image_size=SIZE, num_workers=1, world='yard')
    assert (tmp_path / 'training/label_2/000000.txt').read_text() == ''
    assert json.loads((tmp_path / 'synthetic.json').read_text())['world'] == 'yard'
    assert 'world' not in json.loads((made / 'synthetic.json').read_text())
    with pytest.raises(DataError, match='asked for'):
        generate_dataset(tmp_path, 1, seed=5, image_size=SIZE)
    with pytest.raises(ConfigError, match="world 'moon': expected one of street, yard"):
        generate_dataset(tmp_path, 1, world='moon')


def projected(frame) -> tuple[np.ndarray, np.ndarray]:
    """Nearest pixels (N, 2) and depths (N,) of the cloud's points, by KITTI's matrices."""
    points = np.c_[frame.sweep.points[:, :3], np.ones(len(frame.sweep.points))]
    matrices = frame.rig.calibration
    rectified = matrices['R0_rect'] @ matrices['Tr_velo_to_cam'] @ points.T
    u, v, depth = matrices['P2'] @ np.concatenate([rectified, np.ones((1, len(points)))])
    return np.stack([u / depth, v / depth], 1).round().astype(int), depth


def test_foreign_folder_and_other_settings_are_refused(made, tmp_path):
    (tmp_path / 'mine.txt').write_text('precious')
    with pytest.raises(DataError, match='not made by this generator'):
        generate_dataset(tmp_path, 1, image_size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ['mine.txt']
    with pytest.raises(ValueError, match='other|asked'):
        generate_dataset(made, 4, seed=7, image_size=SIZE)
    for bad in (dict(num_frames=0), dict(seed=-1), dict(val_fraction=1.0), dict(image_size=(8, 8))):
        with pytest.raises(ValueError, match='expected'):
            generate_dataset(tmp_path / 'new', **{'num_frames': 1, **bad})
    assert not (tmp_path / 'new').exists()


def test_mmdet3d_s_own_parser_reads_it(made):
    path = Path(mmdet3d.__file__).parent / '.mim/tools/dataset_converters/kitti_data_utils.py'
    spec = importlib.util.spec_from_file_location('kitti_data_utils', path)
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    infos = reader.get_kitti_image_info(
        str(made), training=True, velodyne=True, calib=True, image_ids=list(range(4)), num_worker=1,
        with_imageshape=True)
    for frame, info in enumerate(infos):
        assert tuple(info['image']['image_shape']) == SIZE[::-1]
        calib = info['calib']
        # Optical axis and LiDAR's x agree roughly; rotations are rotations.
        for name in ('R0_rect', 'Tr_velo_to_cam'):
            rotation = calib[name][:3, :3]
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        chain = calib['P2'] @ calib['R0_rect'] @ calib['Tr_velo_to_cam']
        u, v, depth, _ = chain @ (20.0, 0, 0, 1)
        assert 18 < depth < 21
        assert abs(u / depth - SIZE[0] / 2) < 15 and abs(v / depth - SIZE[1] / 2) < 15
        lines = (made / f'training/label_2/{frame:06d}.txt').read_text().splitlines()
        assert list(info['annos']['name']) == [line.split()[0] for line in lines]
