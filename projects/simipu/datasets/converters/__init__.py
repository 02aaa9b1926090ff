from .kitti import create_kitti_infos, kitti_calibration

__all__ = ['create_kitti_infos', 'kitti_calibration']
