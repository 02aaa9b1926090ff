"""Contrast of two sets of paired features, after a projection of each."""
import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import ConfigError
from ...geometry import BilinearSamples
from ..losses import KeyQueue
from ..projection_mlp import ProjectionMLP


@MODELS.register_module()
class ContrastiveHead(BaseModule):
    """Projects paired features and contrasts them, the contrastive loss of SimIPU.

    The intra-modal head contrasts the points of two views of a cloud, the inter-modal one pixels
    (queries) and points (keys).

    Args:
        query_projector: The queries' projection, a module or its config.
        key_projector: That of the keys; ``None`` shares that of the queries.
        loss: The loss between embeddings, a module or its config.
        detach_key: What of the keys' side gets no gradient: ``'feature'`` stops it below the key
            projector, which still learns; ``'projection'`` stops it above, so that a key projector
            of its own keeps its initial weights (as the original's inter-modal one does); ``None``
            lets it flow into the encoder.
        queue_size: So many keys of past batches are further negatives, see ``KeyQueue``; the
            loss must take ``extra_keys``. ``None`` has those of the batch alone.
        loss_weight: Factor of the loss.

    Examples:
        >>> import torch
        >>> from simipu.models.heads import ContrastiveHead
        >>> from simipu.models.losses import InfoNCELoss
        >>> from simipu.models.projection_mlp import ProjectionMLP
        >>> head = ContrastiveHead(ProjectionMLP(64, out_channels=32), ProjectionMLP(16, out_channels=32),
        ...                        loss=InfoNCELoss(temperature=0.1))
        >>> pixels, points = torch.randn(100, 64), torch.randn(100, 16)
        >>> losses = head.loss(pixels, points)
        >>> sorted(losses)
        ['acc_top1', 'acc_top5', 'loss']
        >>> losses['loss'].backward()
    """

    def __init__(self,
                 query_projector: dict | nn.Module,
                 key_projector: dict | nn.Module | None = None,
                 loss: dict | nn.Module = dict(type='InfoNCELoss', temperature=0.07),
                 detach_key: str | None = 'feature',
                 queue_size: int | None = None,
                 loss_weight: float = 1.0,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if detach_key not in (None, 'feature', 'projection'):
            raise ConfigError("ContrastiveHead: detach_key must be None, 'feature' or 'projection', "
                              f'got {detach_key!r}')
        self.query_projector = _build(query_projector)
        self.key_projector = None if key_projector is None else _build(key_projector)
        self.loss_module = _build(loss)
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

    def embed_query(self, features: Tensor | BilinearSamples) -> Tensor:
        """(K, C) features, or K samples of feature maps -> (K, D) embeddings."""
        if isinstance(features, BilinearSamples) and not isinstance(self.query_projector, ProjectionMLP):
            features = features.features()
        return self.query_projector(features)

    def embed_key(self, features: Tensor) -> Tensor:
        """(K, C) features -> (K, D) embeddings."""
        if self.detach_key == 'feature':
            features = features.detach()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.detach_key != 'projection'):
            return self.projector_of_keys(features)

    def loss(self, query_features: Tensor | BilinearSamples, key_features: Tensor,
             momentum_keys: Tensor | None = None, **place: Tensor) -> dict[str, Tensor]:
        """Loss and accuracies of paired features.

        Args:
            query_features: (K, C_query), or K samples of feature maps of that width.
            key_features: (K, C_key), row i belongs to row i of the queries.
            momentum_keys: (K, D), what the queries look for in place of the embeddings of
                ``key_features``. Those then learn by looking for the queries, and the loss is the
                mean of both directions: their projector would otherwise have no gradient, and the
                moving average that follows it would stand still.
            place: Where each pair is (``frame``, ``position``, ``cell``, ``point``), see ``InfoNCELoss``.

        Returns:
            ``loss``, and ``acc_top1``, ``acc_top5`` in percent: how often the positive is the most
            similar, or among the five most similar, of all keys.
        """
        query, key = self.embed_query(query_features), self.embed_key(key_features)
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


def _build(module: dict | nn.Module) -> nn.Module:
    return MODELS.build(module) if isinstance(module, dict) else module
