"""How well pixels find their points: the pre-training task itself, as a validation metric."""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet3d.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor


def retrieval_ranks(query: Tensor, key: Tensor) -> Tensor:
    """How many wrong keys are at least as similar (cosine) to each query as its own.

    Args:
        query: (K, D).
        key: (K, D), row i belongs to row i of the queries.

    Returns:
        (K,) long; 0 where the query finds its key.
    """
    similarity = F.normalize(query.float(), dim=1) @ F.normalize(key.float(), dim=1).T
    # Not '>=': what compares with nothing (NaN) must count as a rival, not as a success.
    return (~(similarity < similarity.diagonal()[:, None])).sum(1) - 1


@METRICS.register_module()
class CrossModalRetrieval(BaseMetric):
    """Share of pixels whose most similar point embedding is their own point's.

    Pairs of ``gallery_frames`` successive frames compete with each other, so chance is one over
    their number. The metric says whether pre-training learns; it does not rank recipes: a higher
    retrieval accuracy need not mean a better backbone, see :class:`DepthProbeMetric` for that.

    Args:
        gallery_frames: Frames whose pairs form one gallery.

    Results: ``top1`` and ``top5`` in percent, ``chance_top1`` in percent, ``over_chance`` (top-1
    over chance), ``pairs_per_frame``.
    """
    default_prefix = 'retrieval'

    def __init__(self, gallery_frames: int = 4, collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.gallery_frames = gallery_frames

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            # Half precision: thousands of frames are kept.
            self.results.append((F.normalize(sample['image_embedding'].float(), dim=1).half().cpu(),
                                 F.normalize(sample['point_embedding'].float(), dim=1).half().cpu()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        ranks, chances = [], []
        for start in range(0, len(results), self.gallery_frames):
            images, points = (torch.cat(part) for part in
                              zip(*results[start:start + self.gallery_frames]))
            if len(images):
                ranks.append(retrieval_ranks(images, points))
                chances.append(torch.full((len(images),), 1 / len(images)))
        if not ranks:
            MMLogger.get_current_instance().warning(
                f'CrossModalRetrieval: no point is visible in any of the {len(results)} frames; '
                'check the calibration of the validation set')
            return dict(top1=0., top5=0., chance_top1=0., over_chance=0., pairs_per_frame=0.)
        rank, chance = torch.cat(ranks), torch.cat(chances).mean().item()
        top1 = (rank < 1).float().mean().item()
        return dict(top1=100 * top1,
                    top5=100 * (rank < 5).float().mean().item(),
                    chance_top1=100 * chance,
                    over_chance=top1 / chance,
                    pairs_per_frame=len(rank) / len(results))
