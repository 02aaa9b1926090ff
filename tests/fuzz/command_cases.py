"""Command lines that cannot work: arguments missing, too many, of no sense; files in the place of folders."""
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from outcomes import PAYLOAD, Case
from sound_project import run, sound_project

from simipu import cli

_NUMBERS = ('-1', '0', 'x', '', '1.5', 'nan', '1e3', '99999999999999999999')
# Options by the start of their command; CONFIG and the like stand for files of the sound project.
_OPTIONS = {
    ('check-dataset', 'CONFIG'): ('--sample', ),
    ('check-dataset', 'INFOS'): ('--load-dim', '--sample'),
    ('browse', 'CONFIG'): ('--num-frames', '--frame-index', '--seed'),
    ('visualize', 'CONFIG'): ('--num-frames', '--frame-index', '--seed', '--point', '--probe-frames'),
    ('transfer', 'CONFIG', '--out', 'out'): ('--probe-frames', '--finetune-frames', '--scored-frames', '--steps',
                                             '--seeds', '--num-workers'),
    ('train', 'CONFIG'): ('--local_rank', ),
    ('create-data', 'synthetic', '--out-dir', 'out', '--num-frames', '1'): ('--num-frames', '--seed', '--num-workers'),
    ('create-data', 'kitti', '--root-path', '.', '--out-dir', 'out'): ('--every', '--num-workers'),
    ('create-data', 'kitti_raw', '--root-path', '.', '--out-dir', 'out'): ('--every', '--scenes', '--val-scenes'),
    ('create-data', 'kitti_odometry', '--root-path', '.', '--out-dir', 'out'): ('--every', ),
    ('create-data', 'nuscenes', '--root-path', '.', '--out-dir', 'out'): ('--sweeps', '--scenes', '--version'),
    ('create-data', 'waymo', '--root-path', '.', '--out-dir', 'out'): ('--every', '--cameras'),
    ('create-data', 'jsonl', '--frames', 'f', '--root-path', '.', '--out-dir', 'out'): ('--val-share', '--cloud-unit'),
}
# Those that count from 0 on.
_FROM_ZERO = {'--frame-index', '--seed', '--point', '--sweeps', '--local_rank'}
# CONFIG and the like stand for files of the sound project or of the case, see ``_run``.
_LINES = '''
train
train missing.py
train CONFIG extra
train CONFIG --launcher
train CONFIG --launcher ssh
train CONFIG --launcher pytorch
train CONFIG --launcher slurm
train CONFIG --launcher mpi
train CONFIG --work-dir FILE
train CONFIG --work-dir FILE/inside
train CONFIG --work-dir /proc/nothing
train CONFIG --work-dir /dev/full/x
train CONFIG --data-root missing
train CONFIG --resume missing.pth
train CONFIG --resume FOLDER
train CONFIG --resume FILE
train CONFIG --nothing
train CONFIG --amp=3
train DETECTOR --auto-scale-lr
train DETECTOR
train METRICS
train CHECKPOINT
train FOLDER
test
test CONFIG missing.pth
test CONFIG FILE
test CONFIG FOLDER
test CONFIG CHECKPOINT --out FOLDER
test CONFIG CHECKPOINT --out FILE/inside
test CONFIG CHECKPOINT --work-dir FILE
test DETECTOR
test CONFIG BACKBONE
export
export CHECKPOINT
export CHECKPOINT FOLDER
export CHECKPOINT FILE/inside
export CHECKPOINT CHECKPOINT
export CHECKPOINT /proc/a.pth
export BACKBONE out.pth
export CONFIG out.pth
export missing.pth out.pth
export CHECKPOINT /dev/full/a
convert
convert CHECKPOINT out.pth
convert CHECKPOINT out.pth --to
convert CHECKPOINT out.pth --to keras
convert CHECKPOINT FOLDER --to mmdet
convert CHECKPOINT FILE/inside --to mmdet
convert CHECKPOINT CHECKPOINT --to mmdet
convert CONFIG out.pth --to timm
verify
verify DETECTOR
verify missing.py BACKBONE
verify DETECTOR missing.pth
verify BACKBONE DETECTOR
verify DETECTOR DETECTOR
verify METRICS BACKBONE
verify FILE BACKBONE
compare
compare METRICS
compare METRICS missing.json
compare METRICS FOLDER
compare METRICS FILE
compare METRICS CHECKPOINT
compare EVIL_PKL EVIL_PKL
compare METRICS EVIL_YAML
compare METRICS EMPTY
compare METRICS LIST
compare METRICS TEXTS
compare METRICS OTHER
visualize
visualize missing.py
visualize CONFIG missing.pth
visualize CONFIG FILE
visualize CONFIG --out-dir FILE
visualize CONFIG --out-dir FILE/inside
visualize CONFIG --split nothing
visualize CONFIG --camera nothing
visualize CONFIG --pixel 1
visualize CONFIG --pixel a b
visualize CONFIG --pixel nan nan
visualize CONFIG --pixel -5 9999
visualize CONFIG --point 9999
visualize --log FOLDER
visualize --log missing
visualize --log FILE
visualize DETECTOR
browse
browse missing.py
browse CONFIG --out FILE/inside
browse CONFIG --out FOLDER.png
browse CONFIG --num-frames 999
browse CONFIG --frame-index 999
browse DETECTOR
browse CONFIG --split x
transfer
transfer CONFIG
transfer CONFIG --out FILE
transfer CONFIG --out out --backbone x
transfer CONFIG --out out --backbone =x
transfer CONFIG --out out --backbone scratch=x
transfer CONFIG --out out --backbone a=missing.pth
transfer CONFIG --out out --ann-file missing.pkl
transfer DETECTOR --out out
check-dataset
check-dataset missing.py
check-dataset missing.pkl
check-dataset FOLDER
check-dataset FILE
check-dataset CONFIG --json FOLDER
check-dataset EVIL_PKL
check-dataset CONFIG --json FILE/inside
check-dataset INFOS --data-prefix a
check-dataset INFOS --split val
check-dataset INFOS --cameras nothing
check-dataset DETECTOR
create-data
create-data nothing
create-data kitti
create-data kitti --root-path missing --out-dir out
create-data kitti --root-path FILE --out-dir out
create-data synthetic --num-frames 1 --out-dir FILE
create-data synthetic --num-frames 1 --out-dir FILE/inside
create-data synthetic --num-frames 1 --out-dir out --image-size 1 1
create-data synthetic --num-frames 1 --out-dir out --image-size 64
create-data synthetic --num-frames 1 --out-dir out --layout x
create-data jsonl --frames missing --root-path . --out-dir out
create-data jsonl --frames FOLDER --root-path . --out-dir out
create-data nuscenes --root-path missing --out-dir out
create-data waymo --root-path missing --out-dir out
create-data kitti_raw --root-path missing --out-dir out
create-data kitti_odometry --root-path FILE --out-dir out
nothing
--nothing
'''.splitlines()


def cases() -> Iterator[Case]:
    """All cases; each must be refused."""
    sound_project()  # before the clock of the first case runs
    for line in _LINES:
        yield Case('command lines', line or 'no word', partial(_run, line.split(' ') if line else []))
    for start, options in _OPTIONS.items():
        for option in options:
            for number in _NUMBERS if option != '--cameras' else ('x', ):
                if number != '0' or option not in _FROM_ZERO and (start[0], option) != ('visualize', '--probe-frames'):
                    yield Case('command lines: numbers', ' '.join([*start[:2], option, repr(number)]),
                               partial(_run, [*start, option, number]))


def _run(words: list[str], folder: Path) -> str:
    project = sound_project()
    files = dict(project._asdict(), infos=project.config.with_name('infos.pkl'))
    for name, text in dict(
            file='text', empty='', list='[1]', texts='{"a/b": "x"}', other='{"a/b": 1}',
            evil_pkl='cos\nsystem\n(S' + repr(PAYLOAD) + '\ntR.',
            evil_yaml=f'a/b: !!python/object/apply:os.system ["{PAYLOAD}"]').items():
        files[name] = folder / name.replace('evil_', 'evil.')
        files[name].write_text(text)
    (folder / 'folder.png').mkdir()
    files['folder'] = folder / 'folder'
    files['folder'].mkdir()
    names = {name.upper(): str(path) for name, path in files.items()}
    for name in sorted(names, key=len, reverse=True):
        words = [word.replace(name, names[name]) for word in words]
    return run(*words)


assert {start[0] for start in _OPTIONS} <= set(cli.COMMANDS)
