"""Files that are written as a whole or not at all, and pointers of Git LFS."""
import errno
import os
import subprocess
import sys
import tracemalloc

import pytest

from simipu.errors import DataError, OutputError
from simipu.files import check_target, lfs_pointer, parse_json, read_bytes, shown, write_whole


def test_content_replaces_what_was_there_with_the_usual_permissions(tmp_path):
    write_whole(tmp_path / 'new' / 'a.pth', b'old')
    write_whole(tmp_path / 'new' / 'a.pth', b'content')
    (tmp_path / 'usual').touch()
    assert (tmp_path / 'new' / 'a.pth').read_bytes() == b'content'
    assert (tmp_path / 'new' / 'a.pth').stat().st_mode == (tmp_path / 'usual').stat().st_mode
    assert os.listdir(tmp_path / 'new') == ['a.pth']


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / 'b').touch()
    with pytest.raises(OutputError, match=rf'a.pth cannot be written \(.*\): check that {tmp_path}/b is a folder'):
        write_whole(tmp_path / 'b' / 'a.pth', b'content')


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, number, monkeypatch):
    (tmp_path / 'a.pth').write_bytes(b'old')

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OutputError, match=rf'a.pth cannot be written \({os.strerror(number)}\): it needs 3.0 MB, and '
                       rf'\d+\.\d MB are free in {tmp_path}. Free some space'):
        write_whole(tmp_path / 'a.pth', bytes(3_000_000))
    assert os.listdir(tmp_path) == ['a.pth'] and (tmp_path / 'a.pth').read_bytes() == b'old'


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / 'a.pth').mkdir()
    with pytest.raises(OutputError, match='a.pth is a folder; choose another name for the file'):
        write_whole(tmp_path / 'a.pth', b'content')
    assert os.listdir(tmp_path) == ['a.pth']


def test_a_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / 'a.json')  # stands in for /dev/null, which os.replace would take the place of, too
    for write in (check_target, lambda path: write_whole(path, b'content')):
        with pytest.raises(OutputError, match='a.json is a pipe; choose another name for the file'):
            write(tmp_path / 'a.json')
    assert (tmp_path / 'a.json').is_fifo()


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / 'a.pth', b'old')
    kill = 'import os, sys, simipu.files; os.fsync = lambda _: os.kill(os.getpid(), 9); '
    write = 'simipu.files.write_whole(sys.argv[1], b"new")'
    done = subprocess.run([sys.executable, '-c', kill + write, str(tmp_path / 'a.pth')])
    assert done.returncode == -9 and (tmp_path / 'a.pth').read_bytes() == b'old'
    write_whole(tmp_path / 'a.pth', b'newer')
    assert os.listdir(tmp_path) == ['a.pth'] and (tmp_path / 'a.pth').read_bytes() == b'newer'


LFS_POINTER = b"""version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 102530333
"""  # as Git LFS 3 writes it


@pytest.mark.parametrize('content, expected', [
    (LFS_POINTER, 'is a pointer of Git LFS, not the file of 102.5 MB that it stands for; in its clone run: git lfs '
     'pull'),
    (LFS_POINTER[:60], 'is a pointer of Git LFS, not the file that it stands for; in its clone run: git lfs pull'),
    (b'version 2', None), (b'', None)])
def test_a_pointer_of_git_lfs_is_recognised(content, expected):
    assert lfs_pointer(content) == expected


@pytest.mark.parametrize('put, found', [
    (lambda path: path.mkdir(), 'is a folder'), (os.mkfifo, 'is a pipe'),
    (lambda path: path.symlink_to('/dev/zero'), 'is a device'),
    (lambda path: path.symlink_to(path.name), 'symbolic links'),
    (lambda path: path.symlink_to('nowhere'), 'no file'), (lambda path: None, 'no file'),
    (lambda path: path.write_bytes(LFS_POINTER), 'is a pointer of Git LFS'),
    (lambda path: path.write_bytes(bytes(11)), 'has 1.1e-08 GB; expected at most 1e-08 GB')])
def test_only_regular_files_of_a_usual_size_are_read(put, found, tmp_path):
    put(tmp_path / 'a.bin')
    with pytest.raises(DataError, match=f'a.bin .*{found}|{found} .*a.bin'):
        read_bytes(tmp_path / 'a.bin', max_bytes=10 if found.startswith('has') else 1000)


def test_a_path_with_a_zero_byte_is_one_line():
    with pytest.raises(DataError, match=r'a\\x00b cannot be read \(embedded null byte\)') as error:
        read_bytes('a\0b')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('text, found', [
    ('{"a": NaN}', 'it holds NaN'), ('[-Infinity]', 'it holds -Infinity'), ('1e999', '1e999 is too large'),
    ('[' * 100_000, 'recursion'), ('{"a": }', 'Expecting value'), ('9' * 5000, '4300 digits')])
def test_what_json_does_not_have_is_refused(text, found):
    with pytest.raises(DataError, match=f'a.json: expected a table, but .*{found}'):
        parse_json(text, 'a.json', 'a table')


@pytest.mark.parametrize('value, expected', [
    ('a\nb', r'a\nb'), ('x' * 150 + 'y' * 150, 'x' * 100 + '...' + 'y' * 100), ([[[[1]]]], '[[[[...]]]]'),
    (10**400, 'a number of 1329 bits'), (1.5, '1.5'), (None, 'None')])
def test_values_are_shown_on_one_short_line(value, expected):
    assert shown(value) == expected


def test_values_that_hold_themselves_many_times_are_shown_at_once():
    value = [0]
    for _ in range(100):
        value = [value] * 10  # 10**100 items
    assert len(shown(value)) <= 203


def test_reading_takes_the_memory_of_the_file_alone(tmp_path):
    (tmp_path / 'a.bin').write_bytes(bytes(1000))
    tracemalloc.start()
    assert read_bytes(tmp_path / 'a.bin') == bytes(1000)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
