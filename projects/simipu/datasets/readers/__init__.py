"""Readers of the files that frames consist of, which look at what they read."""
from .clouds import CloudLayout, check_cloud_file, drop_no_returns, read_cloud, read_cloud_values
from .images import ImageHeader, check_image_file, decode_image, read_image_header

__all__ = ['CloudLayout', 'ImageHeader', 'check_cloud_file', 'check_image_file', 'decode_image', 'drop_no_returns',
           'read_cloud', 'read_cloud_values', 'read_image_header']
