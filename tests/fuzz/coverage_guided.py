"""Coverage-guided fuzzing of the readers of texts, tables, clouds and pickles, by atheris.

    pip install atheris
    python tests/fuzz/coverage_guided.py all --seconds 300 --out /tmp/findings

Every input must be read or refused with a ``SimIPUError``. Anything else is a finding: it is written to ``--out``, once
for each place in the code, and the run goes on. What was found and mended is a case of one of the ``*_cases.py``.
"""
import argparse
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(include=['simipu.datasets', 'plyfile']) if atheris else contextlib.nullcontext():
    from simipu.datasets import PairedDataset
    from simipu.datasets.converters import kitti_raw, own_data
    from simipu.datasets.converters.kitti import create_kitti_infos, kitti_calibration
    from simipu.datasets.converters.nuscenes_tables import NAMES, NuscenesTables
    from simipu.datasets.readers import decode_image, read_cloud, read_image_header
    from simipu.datasets.readers.safe_pickle import load_pickle
import samples

from simipu.errors import SimIPUError


class Readers:
    """What is fuzzed: each method reads bytes, and ``samples`` of the same name seed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kitti = samples.write_kitti(folder / 'kitti')

    def _file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def calibration(self, content: bytes) -> None:
        kitti_calibration(self._file('calib.txt', content))

    def times(self, content: bytes) -> None:
        kitti_raw._times(self._file('times.txt', content), kitti_raw._date_time, '')

    def frame_list(self, content: bytes) -> None:
        (self.kitti / 'ImageSets/train.txt').write_bytes(content)
        create_kitti_infos(self.kitti, self.folder / 'infos', num_workers=1)

    def json_lines(self, content: bytes) -> None:
        own_data._checked(own_data._read_lines(self._file('frames.jsonl', content)))

    def nuscenes_tables(self, content: bytes) -> None:
        """All tables as one object, so that a mutation may touch any of them."""
        tables = json.loads(content)
        for name in NAMES:
            self._file(f'{name}.json', json.dumps(tables[name]).encode())
        read = NuscenesTables(self.folder)
        for scene in read.scenes:
            first = read.follow('scene', scene, 'first_sample_token', 'sample')
            for sample in read.chain('sample', first):
                recording = read.key_frame(sample, 'LIDAR_TOP')
                read.pose('ego_pose', read.follow('sample_data', recording, 'ego_pose_token', 'ego_pose'))

    def infos(self, content: bytes) -> None:
        load_pickle(content, 'infos.pkl')
        PairedDataset(str(self._file('infos.pkl', content)))

    def pcd(self, content: bytes) -> None:
        read_cloud('a.pcd', content)

    def ply(self, content: bytes) -> None:
        read_cloud('a.ply', content)

    def npy(self, content: bytes) -> None:
        read_cloud('a.npy', content)

    def numbers(self, content: bytes) -> None:
        read_cloud('a.bin', content)

    def image(self, content: bytes) -> None:
        decode_image('a.png', content, read_image_header('a.png', io.BytesIO(content)), samples.IMAGE_SIZE)


TARGETS = [name for name in vars(Readers) if not name.startswith('_')]


class Findings:
    """Calls a reader and keeps each input that it neither reads nor refuses properly, one for each place."""

    def __init__(self, read: Callable[[bytes], None], folder: Path, is_json: bool) -> None:
        self.read = read
        self.folder = folder
        self.is_json = is_json
        self.places: set[str] = set()

    def __call__(self, content: bytes) -> None:
        if self.is_json and not _is_tables(content):
            return
        try:
            with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
                self.read(content)
        except SimIPUError:
            pass
        except Exception as error:
            self._keep(content, error)

    def _keep(self, content: bytes, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f'{type(error).__name__} {last.filename}:{last.lineno}'
        if place not in self.places:
            self.places.add(place)
            name = hashlib.sha1(place.encode()).hexdigest()[:12]
            (self.folder / name).write_bytes(content)
            (self.folder / f'{name}.txt').write_text(''.join(traceback.format_exception(error)))
            print(f'finding: {place}: {error!s:.200}', file=sys.stderr)


def _is_tables(content: bytes) -> bool:
    try:
        tables = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(tables, dict) and all(name in tables for name in NAMES)


def fuzz(target: str, seconds: int, out: Path) -> None:
    """Fuzz one reader in this process, which ends with it."""
    corpus = out / target / 'corpus'
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(_seeds(target)):
        (corpus / f'seed{number}').write_bytes(content)
    with tempfile.TemporaryDirectory(dir='/dev/shm') as folder:
        findings = Findings(getattr(Readers(Path(folder)), target), out / target, target == 'nuscenes_tables')
        atheris.Setup([sys.argv[0], f'-max_total_time={seconds}', '-timeout=30', '-rss_limit_mb=6000',
                       f'-artifact_prefix={out / target}/', str(corpus)], findings)
        atheris.Fuzz()


def _seeds(target: str) -> Iterator[bytes]:
    yield from getattr(samples, target)()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('target', choices=[*TARGETS, 'all'])
    parser.add_argument('--seconds', type=int, default=300, help='for each reader')
    parser.add_argument('--out', type=Path, required=True, help='folder for findings and the corpus')
    args = parser.parse_args()
    if atheris is None:
        sys.exit('error: needs atheris: pip install atheris')
    if args.target != 'all':
        fuzz(args.target, args.seconds, args.out)
        return
    for target in TARGETS:
        print(f'--- {target}', flush=True)
        subprocess.run([sys.executable, __file__, target, '--seconds', str(args.seconds), '--out', str(args.out)])


if __name__ == '__main__':
    main()
