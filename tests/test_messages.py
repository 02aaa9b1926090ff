"""Every message leads out: each is followed by its own words, and the command that it stopped succeeds.

A row of ``CASES`` spoils a sound drive, names the command that stops, and matches its message. The names of the
groups of the pattern say how a message is followed (see ``FOLLOWING``); where it offers several ways out, each is
taken on a drive of its own. In the end the drive must be what it was: points in the same pixels, at the same depth, of
the same picture.
"""
import json
import re
import shlex
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from itertools import count
from pathlib import Path
from typing import NamedTuple

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS, MODELS
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from PIL import Image

from simipu import cli, compat
from simipu.building import registry_scope
from simipu.datasets import PairedDataset
from simipu.datasets.converters import common
from simipu.engine import launch
from simipu.geometry import project
from simipu.models.point_encoders.base import check_points

CREATE = 'create-data jsonl --frames frames.jsonl --root-path . --out-dir . --num-workers 1 --val-scenes second'
CREATE_KITTI = 'create-data kitti --root-path . --out-dir . --num-workers 1'
TRAIN = 'train recipe.py --data-root . --cfg-options randomness.seed=0'
CHECK = 'check-dataset recipe.py --data-root . --cfg-options randomness.seed=0'

RECIPE = """
_base_ = '{configs}/_base_/datasets/kitti.py'
default_scope = 'mmdet3d'
model = dict(type='NothingToLearn', data_preprocessor=dict(type='PairedDataPreprocessor'),
             point_encoder=dict(in_channels=4))
pipeline = [
    _base_.load_points, _base_.load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=_base_.point_cloud_range),
    dict(type='SamplePoints', num_points=64, visible_share=1.0),
    dict(type='PointCloudSecondView', centre=[35.2, 0, -1]), dict(type='PackPairedInputs')]
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=pipeline))
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=dict(pipeline=pipeline))
val_evaluator = [dict(type='NothingToMeasure')]
test_dataloader = test_evaluator = None
train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=2)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
custom_hooks = [dict(type='ResumeHook')]
"""
WIDTH, HEIGHT = 96, 64
CAM2IMG = np.array([[60, 0, 47.5, 0], [0, 60, 31.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
LIDAR2CAM = np.array([[0, -1, 0, 0.06], [0, 0, -1, -0.9], [1, 0, 0, -0.6], [0, 0, 0, 1.]])
FRAMES = range(3)
MAP = np.array([[0, -1, 0, 691_000.], [1, 0, 0, 5_336_000], [0, 0, 1, 520], [0, 0, 0, 1]])
TURN = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.]])


@MODELS.register_module(force=True)
class NothingToLearn(BaseModel):
    """Takes what SimIPU takes, and is quick."""

    def __init__(self, data_preprocessor: dict, point_encoder: dict) -> None:
        super().__init__(data_preprocessor)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.point_encoder = point_encoder

    def forward(self, inputs, data_samples, mode='loss'):
        check_points(inputs['points'], self.point_encoder['in_channels'], 'PointNet2SAMSG')
        return dict(loss=self.weight.square().sum()) if mode == 'loss' else data_samples


@METRICS.register_module(force=True)
class NothingToMeasure(BaseMetric):

    def process(self, data_batch, data_samples):
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results):
        return dict(frames=len(results))


RUNS = count()


def start(command: str) -> None:
    if command.startswith('train'):  # MMEngine keeps loggers by name and second
        command += f' --cfg-options experiment_name=run{next(RUNS)}'
    cli.main(shlex.split(command))


# The drive, and what is wrong with it.

def turn_of_a_lidar(seed: int) -> np.ndarray:
    """(N, 4) float32, 2.2 m above a road beside houses: x, y, z, intensity."""
    rng = np.random.default_rng(seed)
    elevation, azimuth = np.meshgrid(np.radians(np.linspace(-24, 2, 24)), np.linspace(-np.pi, np.pi, 120),
                                     indexing='ij')
    ray = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
                    np.sin(elevation)], axis=-1).reshape(-1, 3)
    to_ground = np.where(ray[:, 2] < 0, -2.2 / ray[:, 2], np.inf)
    distance = np.minimum(np.minimum(to_ground, 12 / np.abs(ray[:, 1])), 60) + rng.normal(0, 0.02, len(ray))
    return np.c_[ray * distance[:, None], rng.uniform(0, 1, len(ray))].astype(np.float32)


def picture(seed: int) -> np.ndarray:
    """(H, W, 3), grey and smooth, alike on no two sides."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.repeat((40 * seed + x + y // 2)[..., None], 3, axis=2).astype(np.uint8)


def cloud_file(frame: int) -> Path:
    return Path(f'training/velodyne/{frame:06}.bin')


def image_file(frame: int) -> Path:
    return Path(f'training/image_2/{frame:06}.png')


def write_drive() -> None:
    """A sound drive in the current folder: in KITTI's layout, and described by ``frames.jsonl``."""
    for folder in ('training/velodyne', 'training/image_2', 'training/calib', 'ImageSets'):
        Path(folder).mkdir(parents=True)
    for frame in FRAMES:
        turn_of_a_lidar(frame).tofile(cloud_file(frame))
        cv2.imwrite(str(image_file(frame)), picture(frame))
        calibration = dict(P2=CAM2IMG[:3], R0_rect=np.eye(3), Tr_velo_to_cam=LIDAR2CAM[:3])
        Path(f'training/calib/{frame:06}.txt').write_text(''.join(
            f'{key}: {" ".join(map(str, matrix.ravel()))}\n' for key, matrix in calibration.items()))
    Path('ImageSets/train.txt').write_text('\n'.join(f'{frame:06}' for frame in FRAMES))
    Path('frames.jsonl').write_text('\n'.join(json.dumps(dict(
        sequence='second' if frame == FRAMES[-1] else 'first', timestamp=0.1 * frame,
        lidar_points=dict(lidar_path=str(cloud_file(frame))),
        images=dict(left=dict(img_path=str(image_file(frame)), cam2img=CAM2IMG.tolist(),
                              lidar2cam=LIDAR2CAM.tolist())))) for frame in FRAMES))
    Path('recipe.py').write_text(RECIPE.format(configs=compat.OWN_CONFIGS))


def edit_frames(edit: Callable[[dict], None]) -> None:
    frames = [json.loads(line) for line in Path('frames.jsonl').read_text().splitlines()]
    for frame in frames:
        edit(frame)
    Path('frames.jsonl').write_text('\n'.join(map(json.dumps, frames)))


def frames(edit: Callable[[dict], None]) -> Callable[[], None]:
    """Spoils each line of frames.jsonl."""
    return lambda: edit_frames(edit)


def image_entries(edit: Callable[[dict], None]) -> Callable[[], None]:
    return lambda: edit_frames(lambda frame: edit(frame['images']['left']))


def clouds(change: Callable[[np.ndarray], np.ndarray | bytes]) -> Callable[[], None]:
    """Spoils the bytes of each cloud."""

    def spoil() -> None:
        for frame in FRAMES:
            cloud_file(frame).write_bytes(bytes(change(turn_of_a_lidar(frame)).data))
    return spoil


def as_text(separator: str, columns: int, header: str = '') -> Callable[[np.ndarray], np.ndarray]:
    def change(points: np.ndarray) -> np.ndarray:
        rows = (separator.join(f'{value:.4f}' for value in point[:columns]) for point in points)
        return np.frombuffer((header + '\n'.join(rows) + '\n').encode(), np.uint8)
    return change


def with_ring(points: np.ndarray) -> np.ndarray:
    return np.c_[points, np.arange(len(points)) % 32].astype('f4')


def forget_layout() -> None:
    """As info files of mmdet3d that say nothing about it."""
    for path in map(str, Path().glob('*.pkl')):
        infos = mmengine.load(path)
        for info in infos['data_list']:
            del info['lidar_points']['num_pts_feats']
        mmengine.dump(infos, path)


def npy_named_bin() -> None:
    for frame in FRAMES:
        with open(cloud_file(frame), 'wb') as file:
            np.save(file, turn_of_a_lidar(frame))


def to_files(suffix: str, write: Callable[[Path, np.ndarray], None]) -> Callable[[], None]:
    """Clouds of another format, under names of their own."""

    def spoil() -> None:
        for frame in FRAMES:
            write(cloud_file(frame).with_suffix(suffix), turn_of_a_lidar(frame))
        rename_clouds(suffix)
    return spoil


def rename_clouds(suffix: str) -> None:
    def edit(frame: dict) -> None:
        path = Path(frame['lidar_points']['lidar_path'])
        frame['lidar_points']['lidar_path'] = str(path.with_suffix(suffix))
    edit_frames(edit)


def write_ply(path: Path, points: np.ndarray) -> None:
    lines = ['ply', 'format ascii 1.0', f'element vertex {len(points)}',
             *(f'property float {name}' for name in ('x', 'y', 'z', 'intensity')), 'end_header']
    path.write_text('\n'.join(lines + [' '.join(map(str, point)) for point in points]) + '\n')


def in_map_coordinates() -> None:
    to_files('.npy', lambda path, points: np.save(path, np.c_[
        points[:, :3].astype(float) @ MAP[:3, :3].T + MAP[:3, 3], points[:, 3]]))()
    image_entries(lambda image: image.update(lidar2cam=(LIDAR2CAM @ np.linalg.inv(MAP)).tolist()))()


def y_ahead() -> None:
    clouds(lambda points: np.c_[points[:, :3] @ TURN[:3, :3].T.astype('f4'), points[:, 3]].astype('f4'))()
    image_entries(lambda image: image.update(lidar2cam=(LIDAR2CAM @ TURN.T).tolist()))()


def images(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    def spoil() -> None:
        for frame in FRAMES:
            cv2.imwrite(str(image_file(frame)), change(picture(frame)))
    return spoil


def with_exif(orientation: int) -> Callable[[], None]:
    """Pictures of a camera on its side, which was calibrated with the turned ones."""

    def spoil() -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        for frame in FRAMES:
            on_its_side = np.rot90(picture(frame), {6: 1, 8: -1}[orientation])
            Image.fromarray(on_its_side).save(image_file(frame), 'JPEG', exif=exif, quality=95)
    return spoil


def jpeg_that_ends_early() -> None:
    Image.fromarray(picture(1)).save(image_file(1), 'JPEG')
    cut(image_file(1))


def cut(path: Path) -> None:
    """Shorten a file, of which a copy is kept."""
    if not Path(f'{path}.original').exists():
        shutil.copy(path, f'{path}.original')
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 4 * 3 - 1])


def another_camera_in_the_second_frame() -> None:
    def edit(frame: dict) -> None:
        if frame['timestamp'] == 0.1:
            frame['images']['right'] = frame['images']['left']
    edit_frames(edit)


def stopped_with_another_calibration() -> None:
    """A conversion that was killed after two frames, whose calibration was corrected since."""
    finish = common.FinishedParts.write

    def finish_and_stop(parts, number, *arguments):
        finish(parts, number, *arguments)
        if number == 1:
            raise KeyboardInterrupt

    calibrations = {path: path.read_text() for path in Path('training/calib').iterdir()}
    for path, text in calibrations.items():
        path.write_text(text.replace('60.0', '75.0'))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match='130'):
        patch.setattr(common, 'FRAMES_PER_CHUNK', 1)
        patch.setattr(common.FinishedParts, 'write', finish_and_stop)
        start(CREATE_KITTI)
    for path, text in calibrations.items():
        path.write_text(text)


def create() -> None:
    start(CREATE)


def train() -> None:
    start(TRAIN)


def cut_all_checkpoints() -> None:
    for path in Path('work_dirs/recipe').glob('*.pth'):
        cut(path)


def without_plyfile() -> None:
    sys.modules['plyfile'] = None


# The ways out.

def add_options(found: re.Match, command: str) -> list[str]:
    return [f'{command} {found["options"]}']


def set_options(found: re.Match, command: str) -> list[str]:
    """Settings that are to be set in the config."""
    return [f'{command} --cfg-options {found["settings"]}']


def leave_out(found: re.Match, command: str) -> list[str]:
    """An option with its value."""
    return [re.sub(rf'{found["without"]} \S+', '', command)]


def run_python(found: re.Match, command: str) -> list[str]:
    for frame in FRAMES:
        exec(found['python'], dict(numpy=np, f=cloud_file(frame)))
    return [command]


def state_of_clouds(found: re.Match, command: str) -> list[str]:
    fields = {key: int(value) if value.isdigit() else value.strip("'")
              for key, value in re.findall(r"(\w+)=([\w'<>]+)", found['of_clouds'])}
    edit_frames(lambda frame: frame['lidar_points'].update(fields))
    return after_creating(command)


def state_of_images(found: re.Match, command: str) -> list[str]:
    (key, value), = re.findall(r'(\w+)=(\w+)', found['of_images'])
    image_entries(lambda image: image.update({key: json.loads(value)}))()
    return after_creating(command)


def rename(found: re.Match, command: str) -> list[str]:
    for frame in FRAMES:
        cloud_file(frame).rename(cloud_file(frame).with_suffix(found['suffix']))
    rename_clouds(found['suffix'])
    return after_creating(command)


def correct_spelling(found: re.Match, command: str) -> list[str]:
    """What is typed, or what stands in the frames."""
    text = Path('frames.jsonl').read_text()
    Path('frames.jsonl').write_text(text.replace(f'"{found["wrong"]}"', f'"{found["right"]}"'))
    return [re.sub(rf'(?<=[ =]){found["wrong"]}(?=[ =]|$)', found['right'], command)]


def remove_field(found: re.Match, command: str) -> list[str]:
    edit_frames(lambda frame: [entry.pop(found['field'].split('.')[-1], None)
                               for entry in (frame, frame['lidar_points'], frame['images']['left'])])
    return after_creating(command)


def undistort(found: re.Match, command: str) -> list[str]:
    """The example's lens does not distort: what is left to do is to leave the field out."""
    assert hasattr(cv2, found['undistort'])
    return remove_field(found, command)


def multiply_rows(found: re.Match, command: str) -> list[str]:
    def edit(image: dict) -> None:
        originals = {'(original width)': str(WIDTH), '(original height)': str(HEIGHT)}
        for row, factor in enumerate((found['first_row'], found['second_row'])):
            for words, number in originals.items():
                factor = factor.replace(words, number)
            image['cam2img'][row] = [eval(factor) * value for value in image['cam2img'][row]]
    image_entries(edit)()
    return after_creating(command)


def multiply_projection(found: re.Match, command: str) -> list[str]:
    image_entries(lambda image: image.update(lidar2img=[
        [float(found['three_rows']) * value for value in row] for row in image['lidar2img'][:3]]))()
    return [command]


def multiply_coordinates(found: re.Match, command: str) -> list[str]:
    for frame in FRAMES:
        points = np.fromfile(cloud_file(frame), 'f4').reshape(-1, 4)
        points[:, :3] *= float(found['coordinates'])
        points.tofile(cloud_file(frame))
    return [command]


def multiply_translation(found: re.Match, command: str) -> list[str]:
    def edit(image: dict) -> None:
        for row in image['lidar2cam'][:3]:
            row[3] *= float(found['translation'])
    image_entries(edit)()
    return after_creating(command)


def copy_again(found: re.Match, command: str) -> list[str]:
    shutil.copy(f'{found["file"]}.original', found['file'])
    return [command]


def relative_path(found: re.Match, command: str) -> list[str]:
    edit_frames(lambda frame: frame['lidar_points'].update(
        lidar_path=frame['lidar_points']['lidar_path'].replace('\\', '/').removeprefix(found['drive'])))
    return [command]


def run_before(found: re.Match, command: str) -> list[str]:
    return [f'{CREATE.replace("--val-scenes second", "")} {found["before"]}', command]


def install(found: re.Match, command: str) -> list[str]:
    """The package that pip is to install has the module that is missing."""
    distribution = re.match(r'[\w-]+', found['requirement']).group()
    assert distribution in packages_distributions()[found['module']]
    del sys.modules[found['module']]
    return [command]


def after_creating(command: str) -> list[str]:
    return [command] if command.startswith('create-data') else [CREATE, command]


def remove_white_space(found: re.Match, command: str) -> list[str]:
    allowed, = re.findall(found['allowed'], found['wrong'])
    edit_frames(lambda frame: frame.update(split=allowed))
    return [command]


def give_data_root(found: re.Match, command: str) -> list[str]:
    return [f'{command} {found["data_root"]}=.']


def convert_first(found: re.Match, command: str) -> list[str]:
    assert CREATE.startswith(found['convert'])
    return [CREATE, command]


def take_another_work_dir(found: re.Match, command: str) -> list[str]:
    return [f'{command} {found["work_dir"]} anew']


FOLLOWING = dict(options=add_options, settings=set_options, without=leave_out, python=run_python,
                 of_clouds=state_of_clouds, of_images=state_of_images, suffix=rename, right=correct_spelling,
                 field=remove_field, undistort=undistort, second_row=multiply_rows, three_rows=multiply_projection,
                 coordinates=multiply_coordinates, translation=multiply_translation, file=copy_again,
                 drive=relative_path, before=run_before, requirement=install, allowed=remove_white_space,
                 data_root=give_data_root, convert=convert_first, work_dir=take_another_work_dir)
"""By the name of a group of the pattern: what it is taken for, and the commands that are to succeed then."""


class Case(NamedTuple):
    """``spoil`` is done in turn to a sound drive; ``command`` stops then with a ``message`` (a pattern)."""
    name: str
    spoil: tuple[Callable[[], None], ...]
    command: str
    message: str


def asked(text: str) -> str:
    return rf'(?P<options>--cfg-options {text})'


OF_CLOUDS = r"(?P<of_clouds>num_pts_feats=\d and dtype='.+?') in lidar_points of your frames"
NUMPY = r'[Ww]rite it anew[^.]*: (?P<python>numpy\..+?\.tofile\(f\))'
CASES = [
    # Clouds of another type, number of columns or format.
    Case('float64', (clouds(lambda points: points.astype('f8')), ), CREATE, f'float64 with 4 .*{NUMPY}.*{OF_CLOUDS}'),
    Case('float64 in KITTI', (clouds(lambda points: points.astype('f8')), ), CREATE_KITTI, NUMPY),
    Case('big-endian', (clouds(lambda points: points.astype('>f4')), ), CREATE, f'big-endian.*{NUMPY}.*{OF_CLOUDS}'),
    Case('ring', (clouds(with_ring), ), CREATE, f'float32 with 5 .*{NUMPY}.*{OF_CLOUDS}'),
    Case('ring, where the info file says 4', (create, clouds(with_ring)), TRAIN, f'float32 with 5 .*{NUMPY}'),
    Case('ring, where nothing is said', (create, clouds(with_ring), forget_layout), TRAIN,
         'float32 with 5 .*' + asked(r"load_points\.load_dim=5 load_points\.dtype='<f4'")),
    Case('six said, five there', (clouds(with_ring), frames(lambda frame: frame['lidar_points'].update(
        num_pts_feats=6))), CREATE, OF_CLOUDS),
    Case('x, y, z', (clouds(lambda points: points[:, :3].copy()), ), CREATE, f'float32 with 3 .*{NUMPY}.*{OF_CLOUDS}'),
    Case('x, y, z of float64', (clouds(lambda points: points[:, :3].astype('f8')), ), CREATE,
         f'float64 with 3 .*{NUMPY}.*{OF_CLOUDS}'),
    Case('x, y, z in KITTI', (clouds(lambda points: points[:, :3].copy()), ), CREATE_KITTI, NUMPY),
    Case('x, y, z in training', (clouds(lambda points: points[:, :3].copy()), frames(
        lambda frame: frame['lidar_points'].update(num_pts_feats=3)), create), TRAIN,
        r'set (?P<settings>model\.point_encoder\.in_channels=3)'),
    Case('x, y, z by name', (to_files('.npy', lambda path, points: np.save(path, points[:, :3])), frames(
        lambda frame: frame['lidar_points'].update(num_pts_feats=4))), CREATE, r'(?P<of_clouds>num_pts_feats=3)'),
    Case('one layout in the config, another in the info file', (create, ),
         f'{TRAIN} load_points.load_dim=5', r'set (?P<settings>load_points\.load_dim=4)'),
    Case('column by column', (clouds(lambda points: points.T.copy()), ), CREATE, NUMPY),
    Case('.npy named .bin', (npy_named_bin, ), CREATE, rf'rename it to (?P<suffix>\.npy).*{NUMPY}'),
    Case('.npy named .bin in KITTI', (npy_named_bin, ), CREATE_KITTI, NUMPY),
    Case('text', (clouds(as_text(' ', 4)), ), CREATE, NUMPY),
    Case('text with commas', (clouds(as_text(',', 4)), ), CREATE, NUMPY),
    Case('text with a header', (clouds(as_text(',', 4, '//x,y,z,intensity\n')), ), CREATE, NUMPY),
    Case('text of x, y, z', (clouds(as_text(' ', 3)), ), CREATE, NUMPY),
    Case('cut short', (lambda: cut(cloud_file(1)), ), CREATE, r'(?P<file>\S+): \d+ bytes; expected .*copy it again'),
    Case('without the package', (to_files('.ply', write_ply), without_plyfile), CREATE,
         'needs the package (?P<module>plyfile): pip install "(?P<requirement>.+?)"'),
    # Images.
    Case('12 of 16 bits', (images(lambda image: image.astype('u2') << 4), create), TRAIN,
         asked(r'load_images\.bit_depth=12') + ', or (?P<of_images>bit_depth=12) of the image in your frames'),
    Case('wrong bit depth', (images(lambda image: image.astype('u2') << 4), create),
         f'{TRAIN} load_images.bit_depth=10', r'set (?P<settings>load_images\.bit_depth=12)'),
    Case('EXIF, size in the info file', (create, with_exif(6)), TRAIN,
         asked(r'load_images\.apply_exif=True') + ', or (?P<of_images>apply_exif=true) of the image in your frames'),
    Case('EXIF, size in the frames', (with_exif(8), image_entries(lambda image: image.update(
        height=HEIGHT, width=WIDTH))), CREATE, '(?P<of_images>apply_exif=true)'),
    Case('JPEG that ends early', (jpeg_that_ends_early, ), CREATE, r'(?P<file>training\S+): .*early.*copy it again'),
    Case('resized', (images(lambda image: image[::2, ::2]), ), CREATE,
         r'by a factor of about 0\.50.*by (?P<first_row>\d+ / \(original width\)) and the second by '
         r'(?P<second_row>\d+ / \(original height\))'),
    Case('resized after the conversion', (create, images(lambda image: image[::2, ::2])), TRAIN,
         r'first row of the projection matrix by (?P<first_row>[\d.]+) and the second by (?P<second_row>[\d.]+)'),
    # Frames and units.
    Case('UTM', (in_map_coordinates, ), CREATE, '(?P<options>--clouds-in global)'),
    Case('calibration in millimetres', (image_entries(lambda image: image.update(
        lidar2cam=(LIDAR2CAM * [1, 1, 1, 1000] + np.diag([0, 0, 0, -999])).tolist())), ), CREATE,
        'use (?P<options>--calibration-unit mm)'),
    Case('calibration in centimetres', (image_entries(lambda image: image.update(
        lidar2cam=(LIDAR2CAM * [1, 1, 1, 100] + np.diag([0, 0, 0, -99])).tolist())), create), CHECK,
        r'last column of lidar2cam .*by (?P<translation>[\d.]+) if it is 1\.08 m'),
    Case('clouds in millimetres', (clouds(lambda points: points * np.float32([1000, 1000, 1000, 1])), create), CHECK,
         r'clouds are in millimetres.*Multiply x, y and z by (?P<coordinates>[\d.]+)'),
    Case('y ahead', (y_ahead, create), CHECK,
         r'the cameras look along \+y .* Set (?P<settings>\S+point_cloud_range=\S+ \S+centre=\S+),'),
    Case('up to a negative factor', (image_entries(lambda image: image.update(
        lidar2img=(-2.5 * CAM2IMG @ LIDAR2CAM)[:3].tolist()) or image.pop('cam2img')), ), CREATE,
        r'multiply its first three rows by (?P<three_rows>[\d.-]+);'),
    # Lines of JSON.
    Case('misspelt field', (frames(lambda frame: frame.update(timestmap=frame.pop('timestamp'))), ), CREATE,
         r'line 1: unknown field (?P<wrong>\w+); did you mean (?P<right>\w+)\?'),
    Case('white space', (frames(lambda frame: frame.update(split='train ')), ),
         CREATE.replace(' --val-scenes second', ''),
         r"line 1: split: expected a string \^(?P<allowed>\[.+?\]\+)\$ .*found '(?P<wrong>.+?)'"),
    Case('distortion', (image_entries(lambda image: image.update(distortion=[0.0] * 5)), ), CREATE,
         r'unknown field (?P<field>[\w.]+\w)[;.].*\(cv2\.(?P<undistort>\w+)'),
    Case('path of Windows', (frames(lambda frame: frame['lidar_points'].update(
        lidar_path='D:\\drive\\' + frame['lidar_points']['lidar_path'])), ), CREATE,
        'lidar_path is (?P<drive>D:/drive/).* expected one relative to the root path'),
    Case('split twice', (frames(lambda frame: frame.update(split='train')), ), CREATE,
         "(?P<without>--val-scenes) cannot divide the frames; leave them out, or remove (?P<field>split) from all"),
    Case('cameras that differ', (another_camera_in_the_second_frame, create), TRAIN,
         asked(r'train_dataloader\.batch_size=1 val_dataloader\.batch_size=1')),
    # KITTI's folders.
    Case('calibration of KITTI', (stopped_with_another_calibration, lambda: cut(Path('training/calib/000001.txt'))),
         CREATE_KITTI, r'(?P<file>training\S+): .*[Rr]estore the original calibration file'),
    # Commands, configs and checkpoints.
    Case('no folder', (create, ), TRAIN.replace('--data-root .', '--data-root nowhere'),
         'data_root nowhere/ is not a folder; .*set (?P<data_root>data_root) in the config'),
    Case('not converted', (), TRAIN, r'no info file \S+; write it with `simipu (?P<convert>[a-z-]+)`'),
    Case('no frames for validation', (create, Path('simipu_infos_val.pkl').unlink), TRAIN,
         'jsonl (?P<before>--val-share 0.1).*or train with (?P<options>--no-val)'),
    Case('larger batch than data', (create, ), f'{TRAIN} train_dataloader.batch_size=8',
         asked(r'train_dataloader\.batch_size=2')),
    Case('launcher', (create, ), f'{TRAIN} --launcher pytorch', 'or leave (?P<without>--launcher) out'),
    Case('misspelt variable', (create, ), f'{TRAIN} point_range=[0,-30,-3,60,30,1]',
         r'--cfg-options (?P<wrong>\w+): .*did you mean (?P<right>point_cloud_range)\b'),
    Case('variable of another loop', (create, ), f'{TRAIN} max_epoch=1',
         r'--cfg-options (?P<wrong>\w+): .*did you mean (?P<right>[\w.]*max_epochs)\b'),
    Case('key of another place', (create, ), f'{TRAIN} dataloader.batch_size=1',
         r'--cfg-options (?P<wrong>[\w.]+): .*did you mean (?P<right>train_dataloader\.batch_size)\b'),
    Case('misspelt type', (create, ), f'{TRAIN} train_dataloader.dataset.pipeline.1.type=LoadPairedImage',
         r"is called '(?P<wrong>\w+)'; did you mean '(?P<right>\w+)'"),
    Case('all checkpoints cut short', (create, train, cut_all_checkpoints), f'{TRAIN} --resume',
         'begin anew with another (?P<work_dir>--work-dir)'),
    Case('no such checkpoint', (create, train), f'{TRAIN} --resume work_dirs/recipe/epoch_3.pth',
         r'no checkpoint file (?P<wrong>\S+); .*: (?P<right>[^\s,]+)'),
]



# Running them.

@pytest.fixture
def drive(tmp_path, monkeypatch) -> Iterator[None]:
    """A sound drive, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.delenv('RANK', raising=False)
    # What takes most of MMEngine's time.
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.Config.pretty_text', property(repr))
    monkeypatch.setattr('gc.collect', int)
    write_drive()
    yield
    if sys.modules.get('plyfile', 'installed') is None:
        del sys.modules['plyfile']


def run(command: str, capfd) -> tuple[bool, str]:
    """Whether a command succeeds, and what it says."""
    capfd.readouterr()
    code = 0
    try:
        start(command)
    except SystemExit as end:
        code = end.code
    output = capfd.readouterr()
    return code == 0, f'{output.out}{output.err}{code}'


def load_first_frame(command: str) -> dict:
    """What the data of a command (or of the recipe, if that writes info files) begin with."""
    parser = ArgumentParser()
    launch.add_common_arguments(parser)
    arguments = shlex.split(TRAIN if command.startswith('create-data') else command)[1:]
    cfg = launch.load_config(parser.parse_known_args(arguments)[0])
    settings = cfg.train_dataloader.dataset.to_dict()
    settings['pipeline'] = settings['pipeline'][:2]
    settings.pop('type')
    with registry_scope(cfg):
        return PairedDataset(**settings)[0]


def check_that_it_is_sound(frame: dict) -> None:
    """Points in the same pixels (in parts of the image), as far away; and the same picture."""
    height, width = frame['ori_shape'][0]
    expected = turn_of_a_lidar(0)[:, :3].astype(float)
    ahead = expected[:, 0] > 3
    found = frame['points'].coord.numpy().astype(float)
    assert found.shape == expected.shape
    pixels, depth = (value.numpy()[ahead] for value in project(
        torch.from_numpy(found), torch.from_numpy(frame['lidar2img'][0])))
    in_camera = expected[ahead] @ LIDAR2CAM[:3, :3].T + LIDAR2CAM[:3, 3]
    np.testing.assert_allclose(depth, in_camera[:, 2], atol=0.02)
    wanted = in_camera @ CAM2IMG[:3, :3].T
    np.testing.assert_allclose(pixels / [width, height], wanted[:, :2] / wanted[:, 2:] / [WIDTH, HEIGHT], atol=0.01)
    small = cv2.resize(frame['img'][0], (WIDTH, HEIGHT)).astype(float)
    assert np.abs(small - picture(0)).mean() < 4


WAYS = [(case, way) for case in CASES for way in re.compile(case.message).groupindex if way in FOLLOWING]


@pytest.mark.parametrize('case, way', [pytest.param(*pair, id=f'{pair[0].name} - {pair[1]}') for pair in WAYS])
def test_the_way_out(case, way, drive, capfd):
    for spoil in case.spoil:
        spoil()
    succeeded, output = run(case.command, capfd)
    found = re.search(case.message, output, re.DOTALL)
    assert not succeeded and found, output
    *before, last = FOLLOWING[way](found, case.command)
    for command in (*before, last):
        succeeded, output = run(command, capfd)
        assert succeeded, output
    check_that_it_is_sound(load_first_frame(last))


def test_each_case_has_a_way_out():
    assert {case.name for case, _ in WAYS} == {case.name for case in CASES}
    assert len({case.name for case in CASES}) == len(CASES)
