"""Procedural street scenes seen by a camera and a LiDAR, written in KITTI's layout."""
from .kitti_writer import generate_dataset
from .scene import Scene, random_scene
from .sensors import Camera, KittiRig, Lidar, Picture, Sweep, random_kitti_rig, render, scan

__all__ = [
    'Camera', 'KittiRig', 'Lidar', 'Picture', 'Scene', 'Sweep', 'generate_dataset', 'random_kitti_rig',
    'random_scene', 'render', 'scan'
]
