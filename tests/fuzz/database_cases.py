"""mmdet3d's database of objects, its points and the info file that it belongs to."""
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import samples
from mmengine.registry import DefaultScope
from mutations import VALUES, attacks, changed, damaged, in_place_of_a_file, some
from outcomes import Case, Outcome

from simipu.downstream.object_database import DataBaseSamplerWithImages

_BOX = np.array([10.0, 1, 0, 4, 2, 1.5, 0.1])


def _database() -> dict:
    return dict(Car=[dict(name='Car', path='objects/0.bin', image_idx=0, gt_idx=0, box3d_lidar=_BOX, difficulty=0,
                          num_points_in_gt=20)])


def _infos() -> dict:
    """The label is in the camera's frame, and its sizes are in another order."""
    x, y, z, length, width, height, yaw = _BOX
    place = (np.array(samples.LIDAR2CAM) @ [x, y, z, 1])[:3]
    frame = samples.info_frames()[0]
    frame['instances'] = [dict(bbox=[1.0, 2, 30, 18], bbox_3d=[*place.tolist(), length, height, width, yaw],
                               bbox_label_3d=0, occluded=0)]
    return dict(metainfo={}, data_list=[frame])


def draw(folder: Path, database: bytes | None = None, infos: bytes | None = None, points: bytes | None = None,
         instead: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What the sampler draws for a frame without objects: boxes and points."""
    samples.write_kitti(folder)
    samples.write(folder, {
        'database.pkl': pickle.dumps(_database()) if database is None else database,
        'labels.pkl': pickle.dumps(_infos()) if infos is None else infos,
        'objects/0.bin': samples.points()[:20].tobytes() if points is None else points})
    if instead:
        (folder / 'objects/0.bin').unlink()
        in_place_of_a_file()[instead](folder / 'objects/0.bin')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        sampler = DataBaseSamplerWithImages(
            str(folder / 'labels.pkl'), str(folder), info_path=str(folder / 'database.pkl'), data_root=str(folder),
            rate=1.0, sample_groups=dict(Car=3), classes=['Car'], prepare=dict(filter_by_min_points=dict(Car=1)))
        drawn, views = sampler.sample_accepted(np.zeros((0, 7)), np.zeros(0, int), lambda info: True)
    if not views:
        return np.zeros((0, 7)), np.zeros((0, 4))
    sampler.read_image(views[0]['view'].img_path)
    return drawn['gt_bboxes_3d'], drawn['points'].numpy()


def _as_sound(found: tuple[np.ndarray, np.ndarray]) -> str | Outcome | None:
    boxes, points = found
    if len(boxes) == 0:
        return Outcome.SKIPPED  # mmdet3d logs how many objects there are of a class
    if np.allclose(boxes, _BOX) and len(points) == 20:
        return None
    return 'another object than in the sound database'


def cases(seed: int = 0) -> Iterator[Case]:
    """All cases of this kind."""
    yield Case('database of objects', 'sound', draw, _as_sound)
    places = [('Car', ), ('Car', 0), *(('Car', 0, name) for name in _database()['Car'][0] if name != 'name')]
    for place in places:
        for name, value in some(VALUES, seed, place, count=6):
            content = pickle.dumps(changed(_database(), place, value))
            yield Case('database of objects', f'{".".join(map(str, place))}: {name}',
                       partial(draw, database=content), _as_sound)
    label = ('data_list', 0, 'instances')
    camera = ('data_list', 0, 'images', 'CAM2')
    for place in [('data_list', ), ('data_list', 0), label, (*label, 0), *((*label, 0, name) for name in (
            'bbox', 'bbox_3d', 'bbox_label_3d', 'occluded')), camera, *((*camera, name) for name in (
                'img_path', 'lidar2cam', 'lidar2img'))]:
        for name, value in some(VALUES, seed, place, count=5):
            content = pickle.dumps(changed(_infos(), place, value))
            yield Case('database of objects', f'{".".join(map(str, place))}: {name}',
                       partial(draw, infos=content), _as_sound)
    for name, content in list(attacks().items())[::2]:
        yield Case('pickles that run code', f'database of objects: {name}', partial(draw, database=content))
        yield Case('pickles that run code', f'labels of objects: {name}', partial(draw, infos=content))
    for name, content in damaged(samples.points()[:20].tobytes(), seed, flips=2):
        yield Case('database of objects', f'points: {name}', partial(draw, points=content), _as_sound)
    for name in in_place_of_a_file():
        yield Case('no regular files', f'points of an object: {name}', partial(draw, instead=name))
