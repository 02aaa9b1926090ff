"""How well pixels find their points: the pre-training task itself, as a validation metric."""
from collections import Counter

import torch
import torch.nn.functional as F
from mmdet3d.registry import METRICS
from mmengine.logging import MMLogger
from torch import Tensor

from .streaming import StreamingMetric


def retrieval_ranks(query: Tensor, key: Tensor, point: Tensor | None = None) -> Tensor:
    """How many wrong keys are at least as similar (cosine) to each query as its own.

    Args:
        query: (K, D).
        key: (K, D), row i belongs to row i of the queries.
        point: (K,) integers, equal for pairs of the same point, such as one that several cameras see: they have the
            same key, which is none of the wrong ones. ``None``: all are different.

    Returns:
        (K,) long; 0 where the query finds its key.
    """
    similarity = F.normalize(query.float(), dim=1) @ F.normalize(key.float(), dim=1).T
    # Not '>=': what compares with nothing (NaN) must count as a rival, not as a success.
    rival = ~(similarity < similarity.diagonal()[:, None])
    if point is None:
        return rival.sum(1) - 1
    return (rival & (point[:, None] != point)).sum(1)


@METRICS.register_module()
class CrossModalRetrieval(StreamingMetric):
    """Share of pixels whose most similar point embedding is their own point's.

    The points of ``gallery_frames`` successive frames compete with each other, so chance is one over
    their number; a point that several cameras see is one. Of several processes, each makes galleries of its
    own frames. The metric says whether pre-training learns; it does not rank recipes: a higher retrieval
    accuracy need not mean a better backbone, see ``DepthProbeMetric`` for that.

    Args:
        gallery_frames: Frames whose pairs form one gallery.

    Results: ``top1`` and ``top5`` in percent, ``chance_top1`` in percent, ``over_chance`` (top-1
    over chance), ``pairs_per_frame``.
    """
    default_prefix = 'retrieval'

    def __init__(self, gallery_frames: int = 4, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.gallery_frames = gallery_frames
        self._gallery: list[tuple[Tensor, Tensor, Tensor]] = []
        self._sums = Counter()

    def add(self, index: int, sample: dict) -> None:
        # Rounded to half precision, so that figures compare with those of earlier versions.
        image, point = (F.normalize(sample[f'{side}_embedding'].float(), dim=1).half() for side in ('image', 'point'))
        self._gallery.append((image, point, sample['point_index']))
        if len(self._gallery) == self.gallery_frames:
            self._rank_gallery()

    def finish(self) -> Counter:
        if self._gallery:
            self._rank_gallery()
        sums, self._sums = self._sums, Counter()
        return sums

    def compute_metrics(self, results: list) -> dict[str, float]:
        sums = sum(map(Counter, results), Counter())
        if not sums['pairs']:
            MMLogger.get_current_instance().warning(
                f'CrossModalRetrieval: no point is visible in any of the {self.num_frames} frames; '
                'check the calibration of the validation set')
            return dict(top1=0., top5=0., chance_top1=0., over_chance=0., pairs_per_frame=0.)
        chance, top1, top5 = (sums[name] / sums['pairs'] for name in ('chances', 'top1', 'top5'))
        return dict(top1=100 * top1,
                    top5=100 * top5,
                    chance_top1=100 * chance,
                    over_chance=top1 / chance,
                    pairs_per_frame=sums['pairs'] / self.num_frames)

    def _rank_gallery(self) -> None:
        images, keys, indices = (torch.cat(part) for part in zip(*self._gallery))
        frame = torch.repeat_interleave(torch.tensor([len(index) for _, _, index in self._gallery]))
        self._gallery = []
        if len(images):
            which = torch.stack([frame.to(indices), indices], dim=1)
            points, point = which.unique(dim=0, return_inverse=True)
            ranks = retrieval_ranks(images, keys, point)
            self._sums.update(chances=len(ranks) / len(points), pairs=len(ranks), top1=int((ranks < 1).sum()),
                              top5=int((ranks < 5).sum()))
