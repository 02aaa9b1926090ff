"""Procedural street scenes seen by cameras and a LiDAR, in the layout of KITTI or nuScenes."""
from .kitti_writer import generate_dataset
from .nuscenes_writer import generate_nuscenes_dataset
from .scene import Scene, random_scene
from .sensors import Camera, KittiRig, Lidar, Picture, Sweep, random_kitti_rig, render, scan

__all__ = [
    'Camera', 'KittiRig', 'Lidar', 'Picture', 'Scene', 'Sweep', 'generate_dataset',
    'generate_nuscenes_dataset', 'random_kitti_rig', 'random_scene', 'render', 'scan'
]
