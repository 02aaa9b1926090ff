from . import data_preprocessor, heads, losses, matchers, point_encoders, projection_mlp, simipu  # noqa: F401
