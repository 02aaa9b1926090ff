from .cameras import SampleCameras
from .formatting import PackPairedInputs
from .images import (
    CropImages,
    FlipImages,
    PhotometricDistortImages,
    RandomConvolveImages,
    ResizeImages,
    RotateImages,
)
from .loading import LoadPairedImages, LoadPairedPoints
from .occupancy import DescribeOccupancy
from .points import PairedPointsRangeFilter, PointCloudSecondView, SamplePoints
from .surroundings import DescribeSurroundings

__all__ = [
    'CropImages', 'DescribeOccupancy', 'DescribeSurroundings', 'FlipImages', 'LoadPairedImages', 'LoadPairedPoints',
    'PackPairedInputs', 'PairedPointsRangeFilter', 'PhotometricDistortImages', 'PointCloudSecondView',
    'RandomConvolveImages', 'ResizeImages', 'RotateImages', 'SampleCameras', 'SamplePoints'
]
