"""What a model has learnt, on one frame: its features, what it confuses, the depth it knows."""
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ConfigError
from ..evaluation import LinearDepthProbe, depth_errors, retrieval_ranks
from ..geometry import visible as in_image
from .colours import FAR, colour_bar, depth_bar, depth_colours, share_colours
from .features import PCAColours, cosine_similarity, upsample_to_image
from .model_views import FrameFeatures
from .overlays import blend_heat_map, draw_cross, draw_dots, draw_lidar_overlay, draw_segments, fade, zoom
from .sheets import GAP, captioned, contact_sheet, hstack, vstack

DEPTH_RANGE = (1.0, FAR)
MAX_LINES = 40
RIGHT, WRONG = (60, 190, 60), (40, 40, 230)


class Query(NamedTuple):
    """What the similarity panels ask for: a pixel (u, v) of the image, and a point's row."""
    pixel: np.ndarray
    point: int


def fit_depth_probe(frames: Iterable[FrameFeatures]) -> LinearDepthProbe:
    """Fit a linear probe to features and depths at the visible points of all cameras.

    The frames are used one after the other, so a generator needs the memory of one only.

    Raises:
        ConfigError: No point is visible in any of them.
    """
    features, depth = [], []
    for frame in frames:
        for i, seen in enumerate(frame.visible):
            features.append(frame.features_at(i, frame.pixels[i, seen]))
            depth.append(frame.depth[i, seen])
    features, depth = torch.cat(features), torch.from_numpy(np.concatenate(depth))
    keep = (depth >= DEPTH_RANGE[0]) & (depth <= DEPTH_RANGE[1])
    if keep.sum() < 4:
        raise ConfigError(f'the depth probe finds {int(keep.sum())} visible points; '
                          'check the calibration with `simipu browse`')
    return LinearDepthProbe().fit(features[keep], depth[keep])


def fit_pca_colours(frames: Sequence[FrameFeatures]) -> PCAColours:
    """Fit colours to the feature cells of all cameras, those in the padding left out."""
    cells = [frame.feature_map[i].permute(1, 2, 0)[frame.cells_in_image(i)]
             for frame in frames for i in range(len(frame.images))]
    return PCAColours(torch.cat(cells))


def choose_query(frame: FrameFeatures, camera: int, pixel: Sequence[float] | None = None,
                 point: int | None = None) -> Query:
    """Complete what the user named: a pixel gets the visible point next to it, a point its pixel.

    Where neither is named, it is the point next to the middle of the image.

    Raises:
        ConfigError: The camera does not see the point, or has no such pixel.
    """
    height, width = frame.images[camera].shape[:2]
    name, seen = frame.cam_names[camera], frame.visible[camera]
    if not seen.any():
        raise ConfigError(f'{name} sees none of the sampled points of {frame.name}; choose another '
                          'camera, or check the calibration with `simipu browse`')
    if point is not None and not (0 <= point < len(seen) and seen[point]):
        raise ConfigError(f'--point {point}: {name} sees no such point of {frame.name}; it sees '
                          f'{_listed(seen.nonzero()[0])}')
    if pixel is not None:
        place = torch.tensor(pixel, dtype=torch.float64)[None]
        if not in_image(place, torch.ones(1), torch.tensor([height, width])).item():
            raise ConfigError(f'--pixel {pixel[0]:g} {pixel[1]:g}: the input image of {name} is '
                              f'{width} x {height} pixels')
    if point is None:
        target = np.array([(width - 1) / 2, (height - 1) / 2] if pixel is None else pixel)
        apart = np.linalg.norm(frame.pixels[camera] - target, axis=1)
        point = int(np.where(seen, apart, np.inf).argmin())
    pixel = frame.pixels[camera, point] if pixel is None else pixel
    return Query(np.asarray(pixel, dtype=np.float64), point)


def draw_model_frame(frame: FrameFeatures, colours: PCAColours, query: Query, camera: int = 0,
                     probe: LinearDepthProbe | None = None, width: int = 1100) -> np.ndarray:
    """Draw everything about one frame; all cameras' features, the rest for one camera.

    Args:
        frame: See ``extract_frame``.
        colours: Fitted to the features of all frames that are to be compared.
        query: See ``choose_query``.
        camera: Which of the V cameras.
        probe: Fitted on other frames; without it there is no panel of predicted depth.
        width: Of the picture, in pixels.
    """
    cell = (width - GAP) // 2
    cosine_bar = colour_bar(share_colours, np.linspace(0, 1, cell), (), height=32)[:12]
    depths = [draw_lidar_depth(frame, camera, cell)]
    if probe is not None:
        depths.append(draw_probe_depth(frame, camera, probe, cell))
    similarities = [draw_pixel_to_points(frame, camera, query, cell),
                    draw_point_to_pixels(frame, camera, query, cell)]
    rows = [draw_features(frame, colours, width), hstack(depths), depth_bar(cell),
            hstack(similarities), captioned(cosine_bar, 'lowest to highest cosine'),
            draw_retrieval(frame, camera, cell)]
    return captioned(vstack(rows), frame.name)


def draw_features(frame: FrameFeatures, colours: PCAColours, width: int) -> np.ndarray:
    """Every camera's image beside its features as colours."""
    columns = 2 if len(frame.images) == 1 else 4
    pictures, titles = [], []
    for i, image in enumerate(frame.images):
        cells = frame.feature_map[i].permute(1, 2, 0)
        coloured = colours(cells.flatten(0, 1)).reshape(*cells.shape[:2], 3)
        pictures += [image, upsample_to_image(coloured, frame.input_shape, image.shape[:2])]
        titles += [f'{frame.cam_names[i]}: {image.shape[1]} x {image.shape[0]} px',
                   f'features: {cells.shape[1]} x {cells.shape[0]} cells']
    return contact_sheet(pictures, titles, columns, (width - GAP * (columns - 1)) // columns)


def draw_lidar_depth(frame: FrameFeatures, camera: int, width: int) -> np.ndarray:
    """The depth of all points of the cloud that a camera sees."""
    depth = frame.lidar_depth[camera]
    image, pixels = zoom(frame.images[camera], frame.lidar_pixels[camera], width)
    return captioned(draw_lidar_overlay(image, pixels, depth, radius=2),
                     f'depth of {len(depth)} LiDAR points')


def draw_probe_depth(frame: FrameFeatures, camera: int, probe: LinearDepthProbe, width: int
                     ) -> np.ndarray:
    """The depth that a linear probe reads from each cell of the feature map."""
    cells = frame.feature_map[camera].permute(1, 2, 0)
    predicted = probe.predict(cells.flatten(0, 1)).reshape(cells.shape[:2])
    image = frame.images[camera]
    # Between cells the logarithm is interpolated, since that is what the probe predicts.
    log_depth = predicted.log().float().numpy()
    depth = np.exp(upsample_to_image(log_depth, frame.input_shape, image.shape[:2]))
    picture, _ = zoom(depth_colours(depth.ravel()).reshape(image.shape), np.zeros((0, 2)), width)
    return captioned(picture, 'depth of a linear probe' + _probe_errors(frame, camera, probe))


def _probe_errors(frame: FrameFeatures, camera: int, probe: LinearDepthProbe) -> str:
    depth = frame.depth[camera]
    keep = frame.visible[camera] & (depth >= DEPTH_RANGE[0]) & (depth <= DEPTH_RANGE[1])
    if not keep.any():
        return ''
    predicted = probe.predict(frame.features_at(camera, frame.pixels[camera, keep]))
    errors = depth_errors(predicted, torch.from_numpy(depth[keep]))
    return f': relative error {errors.abs_rel:.0%}, within a factor of 1.25: {errors.delta1:.0%}'


def draw_pixel_to_points(frame: FrameFeatures, camera: int, query: Query, width: int) -> np.ndarray:
    """The similarity of a pixel to each point that its camera sees."""
    seen = frame.visible[camera].nonzero()[0]
    pixel = frame.embed_pixels(camera, query.pixel[None])[0]
    similarity = cosine_similarity(pixel, frame.point_embedding).numpy()
    shares = _to_shares(similarity)
    order = seen[np.argsort(similarity[seen])]
    places = np.concatenate([frame.pixels[camera, order], query.pixel[None]])
    image, places = zoom(fade(frame.images[camera]), places, width)
    image = draw_dots(image, places[:-1], share_colours(shares[order]), radius=4)
    best = int(similarity.argmax())
    caption = (f'pixel ({query.pixel[0]:.0f}, {query.pixel[1]:.0f}) to every point: cosine '
               f'{similarity.min():.2f} to {similarity.max():.2f}, most like point {best}'
               + ('' if best in seen else ', which this camera does not see'))
    return captioned(draw_cross(image, places[-1]), caption)


def draw_point_to_pixels(frame: FrameFeatures, camera: int, query: Query, width: int) -> np.ndarray:
    """The similarity of a point to each pixel, as heat over the image."""
    similarity = cosine_similarity(frame.point_embedding[query.point], frame.cell_embedding[camera])
    image = frame.images[camera]
    heat = upsample_to_image(similarity.numpy(), frame.input_shape, image.shape[:2])
    place = frame.pixels[camera, query.point]
    blended, places = zoom(blend_heat_map(image, _to_shares(heat)), place[None], width)
    peak = np.array(np.unravel_index(heat.argmax(), heat.shape))[::-1]
    caption = (f'point {query.point} (cross) to every pixel: cosine {heat.min():.2f} to '
               f'{heat.max():.2f}, peak {np.linalg.norm(peak - place):.0f} px away')
    return captioned(draw_cross(blended, places[0]), caption)


def draw_retrieval(frame: FrameFeatures, camera: int, width: int) -> np.ndarray:
    """Which pixels find their own point among all that the camera sees, and what others take."""
    seen = frame.visible[camera]
    image, pixels = zoom(fade(frame.images[camera]), frame.pixels[camera, seen], width)
    queries = frame.embed_pixels(camera, frame.pixels[camera, seen])
    keys = frame.point_embedding[torch.from_numpy(seen)]
    found = (F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T).argmax(1).numpy()
    own = np.arange(len(found))
    wrong = (retrieval_ranks(queries, keys) > 0).numpy()
    right = draw_dots(image, pixels[~wrong], RIGHT, radius=4)
    title = f'{(~wrong).sum()} of {len(own)} pixels find their own point'
    right = captioned(right, f'{title} (chance {1 / max(len(own), 1):.1%})')
    shown = _thin_out(own[wrong], MAX_LINES)
    mistakes = draw_segments(image, pixels[shown], pixels[found[shown]], WRONG)
    mistakes = draw_dots(mistakes, pixels[shown], WRONG, radius=4)
    xyz = frame.xyz[torch.from_numpy(seen)]
    apart = (xyz[own] - xyz[found]).norm(dim=1).numpy()[wrong]
    caption = f'mistakes: {len(shown)} of {wrong.sum()}, from the pixel (dot) to the point taken'
    if len(apart):
        caption += f', median {np.median(apart):.1f} m off'
    return hstack([right, captioned(mistakes, caption)])


def _thin_out(rows: np.ndarray, limit: int) -> np.ndarray:
    """At most ``limit`` of the rows, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)]


def _to_shares(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / max(high - low, 1e-12)


def _listed(numbers: np.ndarray) -> str:
    shown = ', '.join(map(str, numbers[:12]))
    return shown if len(numbers) <= 12 else f'{shown} ... ({len(numbers)} in all)'
