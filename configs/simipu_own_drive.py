# The short name of the recipe for your own drives.
_base_ = './simipu_r50_8xb4-100e_own-drive.py'
