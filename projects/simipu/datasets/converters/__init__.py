"""From data sets on disk to the info files that PairedDataset reads."""
from .common import ConvertedSplit, Subset
from .kitti import create_kitti_infos, kitti_calibration
from .kitti_raw import create_kitti_odometry_infos, create_kitti_raw_infos
from .nuscenes import create_nuscenes_infos
from .own_calibration import Coordinates
from .own_data import create_jsonl_infos, create_own_infos, write_infos
from .waymo import create_waymo_infos

__all__ = [
    'ConvertedSplit', 'Coordinates', 'Subset', 'create_jsonl_infos', 'create_kitti_infos',
    'create_kitti_odometry_infos', 'create_kitti_raw_infos', 'create_nuscenes_infos', 'create_own_infos',
    'create_waymo_infos', 'kitti_calibration', 'write_infos'
]
