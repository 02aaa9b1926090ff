"""Data sets that are wrong on purpose, to measure what pre-training gains without correct pairs."""
import numpy as np
from mmdet3d.registry import DATASETS

from ..errors import DataError
from .paired_dataset import PairedDataset


@DATASETS.register_module()
class MispairedDataset(PairedDataset):
    """Gives each image the cloud of another frame, drawn anew each time; the rest is PairedDataset.

    Projected by the image's own calibration, such a cloud still shows at which depth a LiDAR's points
    usually lie in which part of an image, but nothing of what this image shows. A gain that a backbone
    pre-trained on it shows too is not owed to pairs of pixels and points.

    In a config: ``train_dataloader = dict(dataset=dict(type='MispairedDataset'))``.

    Raises:
        DataError: As PairedDataset; also where there is no other frame.
    """

    def get_data_info(self, idx: int) -> dict:
        """The frame as PairedDataset has it, but for ``lidar_path`` and ``lidar_format``."""
        if len(self) < 2:
            raise DataError(f'{self.ann_file}: {len(self)} frame; MispairedDataset takes the cloud of '
                            'another frame, so it needs at least 2')
        other = (int(idx) + np.random.randint(1, len(self))) % len(self)
        cloud = super().get_data_info(other)
        return dict(super().get_data_info(idx), lidar_path=cloud['lidar_path'],
                    lidar_format=cloud['lidar_format'])
