from . import (  # noqa: F401
    data_preprocessor,
    depth_pretraining,
    heads,
    losses,
    matchers,
    point_encoders,
    projection_mlp,
    simipu,
)
