"""Contrast of two sets of paired features, after a projection of each."""
from collections.abc import Callable

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import ConfigError
from ..losses import KeyQueue


@MODELS.register_module()
class ContrastiveHead(BaseModule):
    """Projects paired features and contrasts them, the contrastive loss of SimIPU.

    The intra-modal head contrasts the points of two views of a cloud, the inter-modal one pixels
    (queries) and points (keys).

    Args:
        query_projector: Config of the queries' projection.
        key_projector: Config of the keys' projection; ``None`` shares that of the queries.
        loss: Config of the loss between embeddings.
        detach_key: What of the keys' side gets no gradient: ``'feature'`` stops it below the key
            projector, which still learns; ``'projection'`` stops it above, so that a key projector
            of its own keeps its initial weights (as the original's inter-modal one does); ``None``
            lets it flow into the encoder.
        queue_size: So many keys of past batches are further negatives, see :class:`KeyQueue`; the
            loss must take ``extra_keys``. ``None`` has those of the batch alone.
        loss_weight: Factor of the loss.
    """

    def __init__(self,
                 query_projector: dict,
                 key_projector: dict | None = None,
                 loss: dict = dict(type='InfoNCELoss', temperature=0.07),
                 detach_key: str | None = 'feature',
                 queue_size: int | None = None,
                 loss_weight: float = 1.0,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if detach_key not in (None, 'feature', 'projection'):
            raise ConfigError("ContrastiveHead: detach_key must be None, 'feature' or 'projection', "
                             f'got {detach_key!r}')
        self.query_projector = MODELS.build(query_projector)
        self.key_projector = None if key_projector is None else MODELS.build(key_projector)
        self.loss_module = MODELS.build(loss)
        self.queue = (None if queue_size is None else
                      KeyQueue(queue_size, self.projector_of_keys.out_channels))
        self.detach_key = detach_key
        self.loss_weight = loss_weight
        if detach_key == 'projection' and self.key_projector is not None:
            self.key_projector.requires_grad_(False)  # it would never get a gradient

    @property
    def projector_of_keys(self) -> nn.Module:
        """The keys' own projector, or the one they share with the queries."""
        return self.query_projector if self.key_projector is None else self.key_projector

    def embed_query(self, features: Tensor,
                    sample: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(K, C) features, or ``sample(features)`` -> (K, D) embeddings."""
        return self.query_projector(features, sample)

    def embed_key(self, features: Tensor) -> Tensor:
        """(K, C) features -> (K, D) embeddings."""
        if self.detach_key == 'feature':
            features = features.detach()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.detach_key != 'projection'):
            return self.projector_of_keys(features)

    def loss(self, query_features: Tensor, key_features: Tensor,
             momentum_keys: Tensor | None = None,
             sample: Callable[[Tensor], Tensor] | None = None,
             **place: Tensor) -> dict[str, Tensor]:
        """Loss and accuracies of paired features.

        Args:
            query_features: (K, C_query), or with ``sample`` feature maps (B, C_query, h, w).
            key_features: (K, C_key), row i belongs to row i of the queries.
            momentum_keys: (K, D), what the queries look for in place of the embeddings of
                ``key_features``. Those then learn by looking for the queries, and the loss is the
                mean of both directions: their projector would otherwise have no gradient, and the
                moving average that follows it would stand still.
            sample: Interpolates the queries' (K, C) features from maps (B, C, h, w).
            place: Where each pair is (``frame``, ``position``, ``cell``), see :class:`InfoNCELoss`.

        Returns:
            ``loss``, and ``acc_top1``, ``acc_top5`` in percent: how often the positive is the most
            similar, or among the five most similar, of all keys.
        """
        if sample is not None and query_features[:, 0].numel() >= len(key_features):
            query_features, sample = sample(query_features), None  # fewer pixels than cells
        query, key = self.embed_query(query_features, sample), self.embed_key(key_features)
        target = key if momentum_keys is None else momentum_keys
        past = {} if self.queue is None else dict(extra_keys=self.queue.keys())
        result = self.loss_module(query, target, **place, **past)
        loss = result.loss
        if momentum_keys is not None and self.detach_key != 'projection':
            loss = (loss + self.loss_module(key, query.detach(), **place).loss) / 2
        if self.queue is not None and self.training:
            self.queue.enqueue(target.detach())
        return dict(loss=loss * self.loss_weight,
                    acc_top1=result.top_k_accuracy(1),
                    acc_top5=result.top_k_accuracy(5))
