"""Frames per second of the training loader on frames of KITTI's size, and where the time goes.

    OMP_NUM_THREADS=1 python benchmarks/loader.py [--num-workers 2] [--num-frames 64] [--jpeg]

Makes frames of its own: scenes of 1242 x 375 pixels, sweeps repeated up to 120,000 points. Loads them with
the training pipeline of configs/simipu_kitti.py; decoding and range filtering are mmcv's and mmdet3d's. What it costs
to look at the numbers and the images while reading them is measured by turns with loaders that do not.
"""
import argparse
import tempfile
import time
from pathlib import Path

import cv2
import mmcv
import numpy as np
from measuring import compare, print_versions
from mmdet3d.datasets.transforms import LoadPointsFromFile
from mmdet3d.registry import DATASETS
from mmengine.config import Config
from mmengine.fileio import get
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from simipu.datasets.converters import create_kitti_infos
from simipu.scenes import generate_dataset

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'simipu_kitti.py'
NUM_POINTS = 120_000


def make_frames(root: Path, num_frames: int, jpeg: bool = False) -> None:
    generate_dataset(root, num_frames, image_size=(1242, 375), val_fraction=0.0)
    for file in (root / 'training' / 'velodyne').glob('*.bin'):
        points = np.fromfile(file, np.float32).reshape(-1, 4)
        np.resize(points, (NUM_POINTS, 4)).tofile(file)
    if jpeg:
        for file in (root / 'training' / 'image_2').glob('*.png'):
            cv2.imwrite(str(file.with_suffix('.jpg')), cv2.imread(str(file)), [cv2.IMWRITE_JPEG_QUALITY, 90])
            file.unlink()
    create_kitti_infos(root, root, splits=['train'])


def frames_per_second(config: dict, num_workers: int) -> float:
    """Of one epoch, after the first batch, which waits for the workers to start."""
    config = dict(config, num_workers=num_workers, persistent_workers=num_workers > 0)
    loader = Runner.build_dataloader(config, seed=0)
    batches = iter(loader)
    next(batches)
    start, frames = time.perf_counter(), 0
    for batch in batches:
        frames += len(batch['data_samples'])
    return frames / (time.perf_counter() - start)


def seconds_per_transform(config: dict, num_frames: int) -> dict[str, float]:
    """Mean seconds a frame of each transform, in this process."""
    dataset = DATASETS.build(config['dataset'])
    spent: dict[str, float] = {}
    for index in range(num_frames):
        results = dataset.get_data_info(index)
        for transform in dataset.pipeline.transforms:
            start = time.perf_counter()
            results = transform(results)
            name = type(transform).__name__
            spent[name] = spent.get(name, 0.0) + (time.perf_counter() - start) / num_frames
    return spent


def compare_reading(config: dict, num_frames: int) -> None:
    """Clouds and images read by our transforms, and by mmdet3d's and mmcv's functions, which check nothing."""
    dataset = DATASETS.build(config['dataset'])
    load_points, load_images = dataset.pipeline.transforms[:2]
    bare_points = LoadPointsFromFile(coord_type='LIDAR', load_dim=4, use_dim=4)
    frames = [dataset.get_data_info(index) for index in range(num_frames)]

    def ours() -> None:
        for frame in frames:
            load_images(load_points(dict(frame)))

    def bare() -> None:
        for frame in frames:
            bare_points(dict(lidar_points=dict(lidar_path=frame['lidar_path'])))
            [mmcv.imfrombytes(get(path)) for path in frame['img_path']]

    compare(f'reading {num_frames} frames', ours, bare, repeats=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--num-workers', type=int, default=2)
    parser.add_argument('--num-frames', type=int, default=64)
    parser.add_argument('--jpeg', action='store_true', help='images as JPEG of quality 90 in the place of PNG')
    args = parser.parse_args()
    init_default_scope('mmdet3d')
    print_versions()
    config = Config.fromfile(CONFIG).train_dataloader
    with tempfile.TemporaryDirectory() as folder:
        make_frames(Path(folder), args.num_frames, args.jpeg)
        config['dataset']['data_root'] = folder
        print(f'{args.num_workers} workers: {frames_per_second(config, args.num_workers):.1f} frames/s')
        spent = seconds_per_transform(config, args.num_frames)
        compare_reading(config, args.num_frames)
    total = sum(spent.values())
    print(f'one process: {1 / total:.1f} frames/s; of {1000 * total:.0f} ms a frame')
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f'  {name:26} {1000 * seconds:6.1f} ms  {seconds / total:4.0%}')


if __name__ == '__main__':
    main()
