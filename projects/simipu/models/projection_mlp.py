"""The projection from an encoder's feature space to the space in which features are contrasted."""
import torch
from mmcv.cnn import build_norm_layer
from mmdet3d.registry import MODELS
from mmengine.dist import get_world_size
from mmengine.model import BaseModule
from mmengine.registry import MODELS as ROOT_MODELS
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _NormBase

from ..errors import ConfigError
from ..geometry import BilinearSamples


@ROOT_MODELS.register_module()  # norm layers are looked up in the root registry
class PairBatchNorm(_NormBase):
    """Batch norm over the rows of paired features, whose number differs from batch to batch.

    As ``nn.BatchNorm1d``, with the same weights and buffers, but a batch of fewer than two rows, which has
    no variance, is normalised by the running statistics instead of failing. It is no subclass of that, or
    ``sync_bn='torch'`` would turn it into ``SyncBatchNorm``, which cannot do so; ``sync`` can. So MMEngine's
    ``norm_decay_mult`` does not reach it either; ``custom_keys`` of ``paramwise_cfg`` do.

    Args:
        num_features: Width of the features.
        eps: As ``nn.BatchNorm1d``.
        momentum: As ``nn.BatchNorm1d``.
        affine: As ``nn.BatchNorm1d``.
        sync: Take the statistics over the rows of all processes, exactly as if one process held
            them all, unequal and empty shares included. Works on CPU and CUDA.

    Shapes:
        features (K, num_features) -> the same.

    Examples:
        >>> import torch
        >>> from simipu.models.projection_mlp import PairBatchNorm
        >>> norm = PairBatchNorm(8)
        >>> [tuple(norm(torch.randn(num_rows, 8)).shape) for num_rows in (5, 1, 0)]
        [(5, 8), (1, 8), (0, 8)]
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
                 affine: bool = True, sync: bool = False) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.sync = sync

    def forward(self, features: Tensor) -> Tensor:
        if self.training and self.sync and get_world_size() > 1:
            with torch.autocast(features.device.type, enabled=False):
                precision = torch.promote_types(features.dtype, torch.float32)
                return self._forward_synchronised(features.to(precision)).to(features.dtype)
        if self.training and len(features) < 2:
            return self._normalise(features, self.running_mean, self.running_var)
        momentum = self._count_batch() if self.training else 0.0
        return batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias,
                          self.training, momentum, self.eps)

    def _forward_synchronised(self, features: Tensor) -> Tensor:
        count = all_reduce(features.new_tensor(float(len(features))))
        if count < 2:
            return self._normalise(features, self.running_mean, self.running_var)
        mean = all_reduce(features.sum(0)) / count
        var = all_reduce((features - mean).square().sum(0)) / count
        momentum = self._count_batch()
        self.running_mean.lerp_(mean.detach(), momentum)
        self.running_var.lerp_(var.detach() * count / (count - 1), momentum)
        return self._normalise(features, mean, var)

    def _count_batch(self) -> float:
        """Weight of this batch in the running statistics; without momentum they are the mean of all."""
        self.num_batches_tracked += 1
        return 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum

    def _normalise(self, features: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        standardised = (features - mean) * (var + self.eps).rsqrt()
        return standardised * self.weight + self.bias if self.affine else standardised


@MODELS.register_module()
class ProjectionMLP(BaseModule):
    """Linear layers, each with batch norm, and ReLU between them; three in SimIPU.

    Every row is one feature vector, so the same MLP serves points and pixels. A single layer leaves it to
    the encoder to make features in which what is contrasted can be read off linearly.

    Args:
        in_channels: Width of the incoming features.
        hidden_channels: Width of the hidden layers, if there are any. Defaults to ``in_channels``.
        out_channels: Width of the embedding.
        num_layers: How many linear layers.
        norm_cfg: Norm after each linear layer.
        init_cfg: Initialisation; by default that of the layers themselves.

    Shapes:
        features (K, in_channels), or ``BilinearSamples`` of K pixels -> embeddings (K, out_channels).
    """

    def __init__(self,
                 in_channels: int,
                 hidden_channels: int | None = None,
                 out_channels: int = 128,
                 num_layers: int = 3,
                 norm_cfg: dict = dict(type='PairBatchNorm'),
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if num_layers < 1:
            raise ConfigError(f'ProjectionMLP: num_layers must be 1 or more, got {num_layers}')
        self.in_channels = in_channels
        self.out_channels = out_channels
        hidden = hidden_channels or in_channels
        widths = (in_channels, *[hidden] * (num_layers - 1), out_channels)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, next_width), build_norm_layer(norm_cfg, next_width)[1])
            for width, next_width in zip(widths[:-1], widths[1:]))
        self.activation = nn.ReLU()

    def forward(self, features: Tensor | BilinearSamples) -> Tensor:
        linear, norm = self.layers[0]
        if isinstance(features, BilinearSamples):
            self._check(features.cells)
            embeddings = norm(features.through(linear))
        else:
            self._check(features)
            embeddings = norm(linear(features))
        for layer in self.layers[1:]:
            embeddings = layer(self.activation(embeddings))
        return embeddings

    def _check(self, features: Tensor) -> None:
        if features.ndim != 2 or features.shape[1] != self.in_channels:
            raise ConfigError(f'ProjectionMLP expects features (K, {self.in_channels}), got '
                              f'{tuple(features.shape)}; set its in_channels to the width of the encoder that '
                              'feeds it')
