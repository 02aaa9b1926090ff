"""Point clouds from above."""
from collections.abc import Sequence

import cv2
import numpy as np

from .overlays import draw_dots
from .sheets import GREY, draw_text

Interval = tuple[float, float]
UNSEEN = (190, 190, 190)
X_COLOUR, Y_COLOUR = (0, 0, 220), (0, 160, 0)


class BirdsEyeView:
    """A picture of the ground plane, as a driver sees the road: ahead points up, left to the left.

    Red and green arrows at the origin are the LiDAR's x and y axis.

    Args:
        ahead_range: From, to, in metres ahead of the LiDAR.
        left_range: From, to, in metres to its left.
        width: Of the picture, in pixels.
        ahead: Which way is ahead, (x, y) in the LiDAR frame, of length 1; see
            ``simipu.geometry.forward_axis``.
    """

    def __init__(self, ahead_range: Interval, left_range: Interval, width: int,
                 ahead: Sequence[float] = (1.0, 0.0)) -> None:
        self.ahead_range = ahead_range
        self.left_range = left_range
        self.width = width
        self.turn = _turn_ahead(ahead)
        self.metres_per_pixel = (left_range[1] - left_range[0]) / width
        self.height = round((ahead_range[1] - ahead_range[0]) / self.metres_per_pixel)

    @classmethod
    def covering(cls, clouds: Sequence[np.ndarray], width: int, ahead: Sequence[float] = (1.0, 0.0),
                 step: float = 10.0) -> 'BirdsEyeView':
        """The view that holds the origin and 99 % of each cloud (N, 3 or more), out to whole steps.

        The few farthest returns would shrink everything else.
        """
        turned = [cloud[:, :2] @ _turn_ahead(ahead) for cloud in clouds]
        low = np.min([np.quantile(cloud, 0.005, axis=0) for cloud in turned], axis=0)
        high = np.max([np.quantile(cloud, 0.995, axis=0) for cloud in turned], axis=0)
        low = np.floor(np.minimum(low, -1) / step) * step
        high = np.ceil(np.maximum(high, 1) / step) * step
        return cls((low[0], high[0]), (low[1], high[1]), width, ahead)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of points (N, 2 or more) in metres, in the LiDAR frame."""
        return self._pixels_of(points[:, :2] @ self.turn)

    def _pixels_of(self, ahead_left: np.ndarray) -> np.ndarray:
        corner = np.array([self.left_range[1], self.ahead_range[1]])
        return (corner - ahead_left[:, ::-1]) / self.metres_per_pixel - 0.5

    def canvas(self, step: float = 20.0) -> np.ndarray:
        """White ground (height, width, 3) with a grid every ``step`` metres and the axes."""
        canvas = np.full((self.height, self.width, 3), 255, np.uint8)
        for metres in _multiples(self.ahead_range, step):
            row = round(self._pixels_of(np.array([[metres, 0.0]]))[0, 1])
            cv2.line(canvas, (0, row), (self.width, row), (225, 225, 225))
            draw_text(canvas, f'{metres:g} m', 3, min(row + 1, self.height - 12), size=11, grey=GREY)
        for metres in _multiples(self.left_range, step):
            column = round(self._pixels_of(np.array([[0.0, metres]]))[0, 0])
            cv2.line(canvas, (column, 0), (column, self.height), (225, 225, 225))
        origin, x_tip, y_tip = np.rint(self.pixels(np.array([[0, 0], [step / 4, 0], [0, step / 4]]))
                                       ).astype(int).tolist()
        cv2.arrowedLine(canvas, origin, x_tip, X_COLOUR, 2, cv2.LINE_AA, tipLength=0.3)
        cv2.arrowedLine(canvas, origin, y_tip, Y_COLOUR, 2, cv2.LINE_AA, tipLength=0.3)
        cv2.rectangle(canvas, (0, 0), (self.width - 1, self.height - 1), (150, 150, 150))
        return canvas

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points (N, 2 or more) lie in the picture: boolean (N,)."""
        pixels = self.pixels(points)
        return ((pixels >= -0.5) & (pixels < np.array([self.width, self.height]) - 0.5)).all(axis=1)

    def draw(self, points: np.ndarray, colours: np.ndarray = UNSEEN, radius: int = 1,
             canvas: np.ndarray | None = None) -> np.ndarray:
        """Draw points (N, 2 or more), colours (N, 3) or (3,), on a canvas, by default a new one."""
        canvas = self.canvas() if canvas is None else canvas
        return draw_dots(canvas, self.pixels(points), colours, radius)


def _turn_ahead(ahead: Sequence[float]) -> np.ndarray:
    """(2, 2), from the right: (x, y) in the LiDAR frame to metres ahead and to the left."""
    x, y = ahead
    return np.array([[x, -y], [y, x]])


def _multiples(interval: Interval, step: float) -> np.ndarray:
    first, last = np.ceil(interval[0] / step), np.floor(interval[1] / step)
    return np.arange(first, last + 1, dtype=int) * step
