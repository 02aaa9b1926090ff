from .info_nce import InfoNCELoss, InfoNCEResult
from .key_queue import KeyQueue

__all__ = ['InfoNCELoss', 'InfoNCEResult', 'KeyQueue']
