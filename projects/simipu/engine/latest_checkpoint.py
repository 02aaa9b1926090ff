"""Finds the checkpoint from which ``--resume`` goes on."""
from pathlib import Path
from typing import NamedTuple

from ..checkpoints.reading import iterations_done, read_training_checkpoint
from ..errors import CheckpointError
from .work_dir import numbered_checkpoints


class LatestCheckpoint(NamedTuple):
    """The newest readable checkpoint of a work dir, and one sentence for each newer one that is not readable."""
    path: Path | None
    passed_over: list[str]


def find_latest_checkpoint(work_dir: str | Path) -> LatestCheckpoint:
    """Look at the checkpoints themselves, not at MMEngine's pointer ``last_checkpoint``.

    The pointer holds an absolute path, which is wrong once the folder has been moved, and it may lead to a
    checkpoint that was not written to its end.

    Returns:
        The one of ``epoch_N.pth``, ``iter_N.pth`` and ``interrupted.pth`` with the most iterations that can be read;
        ``path`` is None where there is none at all.

    Raises:
        CheckpointError: There are checkpoints, and none can be read.
    """
    numbers = numbered_checkpoints(work_dir)
    newest_first = sorted(numbers, key=lambda path: (iterations_done(path), numbers[path]), reverse=True)
    passed_over = []
    for path in newest_first:
        problem = _problem(path)
        if problem is None:
            return LatestCheckpoint(path, passed_over)
        passed_over.append(problem)
    if passed_over:
        raise CheckpointError('\n'.join([*passed_over, f'--resume: none of the {len(passed_over)} checkpoints in '
                                         f'{work_dir} can be read; restore one from a copy, or begin anew with '
                                         'another --work-dir']))
    return LatestCheckpoint(None, [])


def _problem(path: Path) -> str | None:
    """What is wrong with a checkpoint of a training, if anything."""
    try:
        read_training_checkpoint(path)
    except CheckpointError as error:
        return str(error)
    return None
