from .info_nce import InfoNCELoss, InfoNCEResult

__all__ = ['InfoNCELoss', 'InfoNCEResult']
