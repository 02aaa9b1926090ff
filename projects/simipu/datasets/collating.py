"""From the frames of ``PackPairedInputs`` to what the data preprocessor takes."""
from collections.abc import Sequence

from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS

from ..errors import DataError


@FUNCTIONS.register_module()
def collate_paired_frames(frames: Sequence[dict]) -> dict:
    """MMEngine's ``pseudo_collate``, for frames of equally many cameras.

    Raises:
        DataError: They have not equally many.
    """
    counts = [len(frame['inputs']['img']) for frame in frames]
    if len(set(counts)) > 1:
        raise DataError(f'the frames of a batch must have equally many cameras, found {counts}; take one frame at a '
                        'time (--cfg-options train_dataloader.batch_size=1 val_dataloader.batch_size=1), begin the '
                        "pipeline with dict(type='SampleCameras', num_cameras=1), or set `cameras` of each data set to "
                        'those that all frames have')
    return pseudo_collate(frames)
