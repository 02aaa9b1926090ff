from .cameras import SampleCameras
from .formatting import PackPairedInputs
from .images import CropImages, FlipImages, PhotometricDistortImages, ResizeImages, RotateImages
from .loading import LoadPairedImages, LoadPairedPoints
from .points import PairedPointsRangeFilter, PointCloudSecondView, SamplePoints

__all__ = [
    'CropImages', 'FlipImages', 'LoadPairedImages', 'LoadPairedPoints', 'PackPairedInputs',
    'PairedPointsRangeFilter', 'PhotometricDistortImages', 'PointCloudSecondView', 'ResizeImages',
    'RotateImages', 'SampleCameras', 'SamplePoints'
]
