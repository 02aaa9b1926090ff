"""Frames per second of the synthetic scene generator, with and without parallel processes.

    python benchmarks/synthetic_generator.py --num-frames 200 --workers 1 2

The first frames, which compile the ray caster or load it from numba's cache, are not counted.
"""
import argparse
import tempfile
import time
from pathlib import Path

from simipu.scenes import generate_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--num-frames', type=int, default=200)
    parser.add_argument('--image-size', type=int, nargs=2, default=(384, 128))
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 2])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate_dataset(Path(folder) / 'warm', 2, image_size=args.image_size, num_workers=1)
        for workers in args.workers:
            start = time.perf_counter()
            generate_dataset(Path(folder) / str(workers),
                             args.num_frames,
                             image_size=args.image_size,
                             num_workers=workers)
            rate = args.num_frames / (time.perf_counter() - start)
            print(f'{workers} processes: {rate:.1f} frames/s')


if __name__ == '__main__':
    main()
