"""What detectors of mmdet3d are trained with; name ``simipu.downstream`` in ``custom_imports``."""
from .centre_distance import CentreDistanceAP
from .cut_and_paste import MultiModalCutAndPaste
from .object_database import DataBaseSamplerWithImages

__all__ = ['CentreDistanceAP', 'DataBaseSamplerWithImages', 'MultiModalCutAndPaste']
