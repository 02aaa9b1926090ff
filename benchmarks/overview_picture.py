"""Draws the picture of the README: a frame, and what its features tell before and after pre-training.

    python benchmarks/overview_picture.py CHECKPOINT --data-root data/synthetic --out docs/pictures/overview.svg

Everything in it is drawn as vectors: an SVG of about a megabyte.
"""
import argparse
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.runner import set_random_seed

from simipu import visualization as vis
from simipu.engine.launch import with_data_root
from simipu.visualization.colours import depth_colours

PROJECT = Path(__file__).resolve().parents[1]
IMAGE_CELL = 4  # pixels of the image in one tile of the picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint')
    parser.add_argument('--config', default=str(PROJECT / 'configs' / 'simipu_synthetic.py'))
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--frame', type=int, default=0, help='of the validation set (default: 0)')
    parser.add_argument('--probe-frames', type=int, default=64)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    cfg = with_data_root(Config.fromfile(args.config), args.data_root)
    dataset = vis.build_split(cfg, 'val')
    others = vis.choose_other_frames(len(dataset), [args.frame], args.probe_frames)
    matplotlib.rcParams['svg.hashsalt'] = 'simipu'  # the same picture is the same file
    figure = Figure(figsize=(9, 5.2), layout='constrained')
    panels = figure.subplots(3, 2)
    for column, (title, checkpoint) in enumerate((('random weights', None), ('after SimIPU', args.checkpoint))):
        set_random_seed(0)
        model = vis.build_model(cfg, checkpoint)
        frame = vis.extract_frame(model, dataset[args.frame])
        probe = vis.fit_depth_probe(vis.extract_frame(model, dataset[index]) for index in others)
        cells = frame.feature_map[0].permute(1, 2, 0)[frame.cells_in_image(0)]
        shape = np.array(frame.images[0].shape[:2])
        rows = int(frame.cells_in_image(0)[:, 0].sum())
        mosaic(panels[1, column], vis.fit_pca_colours([frame])(cells), rows, shape, f'features, {title}')
        depth = depth_colours(probe.predict(cells).float().numpy())
        mosaic(panels[2, column], depth, rows, shape, f'depth by a linear probe, {title}')
    image = cv2.resize(frame.images[0], tuple(shape[::-1] // IMAGE_CELL), interpolation=cv2.INTER_AREA)
    mosaic(panels[0, 0], image.reshape(-1, 3), len(image), shape, 'camera')
    points(panels[0, 1], frame, shape)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, metadata=dict(Date=None))


def mosaic(axes: Axes, colours: np.ndarray, rows: int, shape: np.ndarray, title: str) -> None:
    """Tiles (rows * columns, 3) in BGR over an image of (height, width)."""
    tiles = colours.reshape(rows, -1, 3)[..., ::-1] / 255
    height, width = shape
    axes.pcolormesh(np.linspace(0, width, tiles.shape[1] + 1), np.linspace(0, height, rows + 1), tiles)
    _frame(axes, shape, title)


def points(axes: Axes, frame: vis.FrameFeatures, shape: np.ndarray) -> None:
    """Every other point of the cloud in the image, by depth."""
    pixels, depth = frame.lidar_pixels[0][::2], frame.lidar_depth[0][::2]
    axes.scatter(*pixels.T, s=1, c=depth_colours(depth)[:, ::-1] / 255, linewidths=0)
    _frame(axes, shape, 'LiDAR, by depth')


def _frame(axes: Axes, shape: np.ndarray, title: str) -> None:
    axes.set(xlim=(0, shape[1]), ylim=(shape[0], 0), xticks=[], yticks=[], aspect='equal')
    axes.set_title(title, fontsize=9)


if __name__ == '__main__':
    main()
