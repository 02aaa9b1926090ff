"""What padding costs: a scale for each frame of a batch, as the original draws it, or one for the batch.

    OMP_NUM_THREADS=1 python benchmarks/padding.py [--shrink 4] [--rounds 8]

Images of a batch are padded to the largest. Each round draws as many scales as a batch has frames, by the
training pipeline of configs/simipu_kitti.py for KITTI's 1242 x 375 pixels. The same images then make as many
batches twice: every batch with one frame of each scale, and every batch with frames of one scale. Timed is the
image backbone, forward and backward, by turns. --shrink divides all lengths, for a CPU.
"""
import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measuring import clock, print_versions
from mmdet3d.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'simipu_kitti.py'
KITTI_IMAGE = np.zeros((375, 1242, 3), np.uint8)


def draw_sizes(config: Config, num_frames: int) -> list[tuple[int, int]]:
    """(height, width) of frames that are each resized by a scale of their own."""
    step = next(step for step in config.train_pipeline if step['type'] == 'ResizeImages')
    resize = TRANSFORMS.build(step)
    return [resize.transform_image(KITTI_IMAGE, resize.draw_parameters({}))[0].shape[:2] for _ in range(num_frames)]


def padded_shape(sizes: Sequence[tuple[int, int]], divisor: int) -> tuple[int, int, int, int]:
    """Shape of the batch that holds images of these sizes."""
    height, width = (-(-max(side) // divisor) * divisor for side in zip(*sizes))
    return len(sizes), 3, height, width


def seconds(backbone: torch.nn.Module, shape: tuple, device: str) -> float:
    images = torch.randn(shape, device=device)
    start = clock()
    backbone(images)[-1].sum().backward()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--shrink', type=int, default=4)
    args = parser.parse_args()
    print_versions()
    init_default_scope('mmdet3d')
    np.random.seed(0)
    config = Config.fromfile(CONFIG)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    backbone = MODELS.build(config.model.img_backbone).to(device)
    divisor = config.model.data_preprocessor.pad_size_divisor // args.shrink
    seconds(backbone, (args.batch, 3, 64, 64), device)
    ratios, pixels, mixed_pixels, shared_pixels = [], 0, 0, 0
    for _ in range(args.rounds):
        sizes = [(height // args.shrink, width // args.shrink) for height, width in draw_sizes(config, args.batch)]
        mixed = padded_shape(sizes, divisor)
        shared = [padded_shape([size] * args.batch, divisor) for size in sizes]
        spent = sum(seconds(backbone, shape, device) for shape in shared)
        ratios.append(spent / (args.batch * seconds(backbone, mixed, device)))
        pixels += args.batch * sum(height * width for height, width in sizes)
        mixed_pixels += args.batch * np.prod(mixed) // 3
        shared_pixels += sum(np.prod(shape) // 3 for shape in shared)
    print(f'padding: {1 - pixels / mixed_pixels:.1%} of a batch with a scale for each frame, '
          f'{1 - pixels / shared_pixels:.1%} with one for the batch')
    print(f'image backbone, forward and backward: one scale for the batch takes {median(ratios):.2f} of the time '
          f'({min(ratios):.2f} to {max(ratios):.2f} in {args.rounds} rounds)')


if __name__ == '__main__':
    main()
