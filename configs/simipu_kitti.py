# The short name of the recipe to start with, on KITTI or on your own data.
_base_ = './simipu_r50_8xb4-100e_kitti.py'
