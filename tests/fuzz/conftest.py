"""What the cases of this folder leave behind is taken away."""
import pytest
from mmengine.logging import MMLogger


@pytest.fixture(autouse=True)
def no_logger_is_left_behind():
    """MMEngine's logger keeps the stream that it was made with, which is that of a case."""
    before = MMLogger._instance_dict.copy()
    yield
    MMLogger._instance_dict.clear()
    MMLogger._instance_dict.update(before)
