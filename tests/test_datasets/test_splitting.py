"""Which frames are kept for validation."""
import pytest

from simipu.datasets.converters.splitting import (
    choose_val_scenes,
    hold_out_scenes,
    hold_out_share,
    parse_val_scenes,
)
from simipu.errors import DataError


def drives(*lengths: int) -> dict[str, list]:
    return {f'drive{i}': [(i, frame) for frame in range(length)] for i, length in enumerate(lengths)}


@pytest.mark.parametrize('share, count', [(0.1, 2), (0.01, 1), (0.5, 10), (0.99, 19)])
def test_a_single_drive_gives_its_end(share, count):
    train, val, note = hold_out_share(drives(20), share)
    assert train['drive0'] + val['drive0'] == drives(20)['drive0'] and len(val['drive0']) == count
    assert f'the last {count} of 20 frames' in note and 'near-copies' in note


@pytest.mark.parametrize('lengths, share, expected', [
    ((1000, 10), 0.1, 10), ((10, 1000), 0.1, 10), ((100, 20, 80), 0.1, 20), ((50, 50), 0.1, 50), ((5, 1), 0.9, 5),
    ((10, ) * 30, 0.1, 30), ((30, 5, 5, 60), 0.1, 10)])
def test_whole_drives_come_near_to_the_share(lengths, share, expected):
    scenes = drives(*lengths)
    train, val, note = hold_out_share(scenes, share)
    assert sum(map(len, val.values())) == expected and train and not set(train) & set(val)
    assert {**train, **val} == scenes
    assert f'{expected} of {sum(lengths)} frames, those of ' in note


def test_a_further_drive_leaves_the_choice_as_it_is():
    """Which of many equal drives are taken does not depend on their order or place."""
    scenes = drives(*[10] * 40)
    val = set(hold_out_share(scenes, 0.1).val)
    assert val == set(hold_out_share(dict(reversed(scenes.items())), 0.1).val)
    assert len(val & set(hold_out_share(drives(*[10] * 41), 0.1).val)) >= 3
    assert val != {'drive0', 'drive1', 'drive2', 'drive3'}


@pytest.mark.parametrize('share', [0, 1, -0.1, 10])
def test_impossible_shares(share):
    with pytest.raises(DataError, match='0 < --val-share < 1, got'):
        hold_out_share(drives(20), share)
    with pytest.raises(DataError, match='a single frame cannot be divided .*--no-val'):
        hold_out_share(drives(1), 0.5)


@pytest.mark.parametrize('typed, meant', [
    (['0.1'], 0.1), (['0'], 0), (['.25'], 0.25), (['00'], ['00']), (['04'], ['04']), (['1'], ['1']),
    (['0.1', 'b'], ['0.1', 'b']), (['2011_09_26_drive_0001_sync'], ['2011_09_26_drive_0001_sync']), (['a.b'], ['a.b'])])
def test_shares_and_names_are_told_apart(typed, meant):
    assert parse_val_scenes(typed) == meant


def test_chosen_by_share_or_name():
    names = [f'{number:02d}' for number in range(10)]
    assert choose_val_scenes(names, 0.2) == ['00', '05'] and choose_val_scenes(names, 0) == []
    assert choose_val_scenes(names, ['04', '09']) == ['04', '09']
    assert hold_out_scenes(drives(3, 4), ['drive1']).note == 'validation: 4 of 7 frames, those of drive1'


@pytest.mark.parametrize('chosen, message', [
    (['4'], '--val-scenes: no scene 4; expected names such as .*04'), (['monday'], 'no scene monday; .*00, 01, 02'),
    (['04', '4'], 'no scene 4'), ([f'{number:02d}' for number in range(10)], 'all scenes .*leaves none for training'),
    (1, '0 <= --val-scenes < 1, got 1')])
def test_names_that_there_are_not(chosen, message):
    with pytest.raises(DataError, match=message):
        choose_val_scenes([f'{number:02d}' for number in range(10)], chosen)


@pytest.mark.parametrize('num_scenes, share, count', [(2, 0.9, 1), (3, 0.99, 2), (1, 0.5, 0), (10, 0.1, 1), (4, 0, 0)])
def test_a_share_leaves_a_scene_to_training(num_scenes, share, count):
    assert len(choose_val_scenes(list(drives(*[5] * num_scenes)), share)) == count
