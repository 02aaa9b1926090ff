"""What the writers of synthetic data sets share: whole files, a marked folder, parallel frames."""
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import DataError
from ..parallel import map_processes
from ..progress import Progress

GENERATOR_VERSION = 1  # to be raised by every change that alters the bytes of a frame
MARKER = 'synthetic.json'  # settings of the folder; its presence says that this generator made it
_TEMPORARY = '.part'  # suffix of files that are being written
# Sensor noise leaves nothing to find for more than entropy coding.
_PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 1,
                cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all."""
    temporary = path.with_name(path.name + _TEMPORARY)
    temporary.write_bytes(content)
    os.replace(temporary, path)


def encode_png(image: np.ndarray) -> bytes:
    """An image (H, W, 3), uint8 BGR, or (H, W) as PNG."""
    return cv2.imencode('.png', image, _PNG_OPTIONS)[1].tobytes()


def claim_folder(out_dir: Path, folders: Sequence[str], settings: dict) -> None:
    """Create the folders, or make sure that they hold an earlier run with the same settings.

    Raises:
        DataError: ``out_dir`` holds something else, or a set with other settings.
    """
    settings = dict(generator_version=GENERATOR_VERSION, **settings)
    marker = out_dir / MARKER
    if marker.is_file():
        found = json.loads(marker.read_text())
        if found != settings:
            raise DataError(f'{marker}: the folder holds a set made with {found}, but {settings} '
                            'was asked for; choose another out_dir or delete this one')
        for leftover in out_dir.rglob('*' + _TEMPORARY):
            leftover.unlink()
    elif out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise DataError(f'{out_dir} exists and was not made by this generator (no {MARKER} '
                        'in it); choose a new or empty out_dir')
    for folder in folders:
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    write_file(marker, json.dumps(settings, indent=1).encode())


def run_jobs(work: Callable[[Any], None], jobs: list, num_workers: int | None = None) -> None:
    """Call ``work(job)`` for all jobs over processes, showing progress.

    Args:
        num_workers: Processes; by default one per available core.
    """
    if not jobs:
        return
    num_workers = num_workers or len(os.sched_getaffinity(0))
    progress = Progress(len(jobs), file=sys.stderr)
    with threadpool_limits(1):
        work(jobs[0])  # compiles the ray caster, before there are workers
        progress.update()
        if num_workers == 1:
            for job in jobs[1:]:
                work(job)
                progress.update()
        else:
            for _ in map_processes(work, jobs[1:], num_workers, _start_worker):
                progress.update()
    progress.close()


def _start_worker() -> None:
    # The processes are the parallelism; threads of OpenCV and BLAS would only wait for each other.
    cv2.setNumThreads(0)
    threadpool_limits(1)
