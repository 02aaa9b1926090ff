"""One training at a time in a work dir, and none over another."""
import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from simipu.engine.work_dir import _create, _start_time, check_no_training_inside, locked
from simipu.errors import ConfigError, OutputError


def write_lock(work_dir, host, pid):
    (work_dir / 'training.lock').write_text(json.dumps(dict(host=host, pid=pid)))


def pid_of_a_process_that_is_gone():
    with subprocess.Popen([sys.executable, '-c', '']) as process:
        pass
    return process.pid


def test_checkpoints_of_an_earlier_training_are_not_overwritten(tmp_path):
    for name in ('epoch_5.pth', 'epoch_10.pth', 'best_loss_epoch_10.pth', 'backbone.pth'):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=r'holds 2 checkpoint\(s\) .* up to epoch_10.pth, .*--resume.*--work-dir'):
        check_no_training_inside(tmp_path)


def test_other_files_do_not_matter(tmp_path):
    (tmp_path / 'backbone.pth').touch()
    check_no_training_inside(tmp_path)
    check_no_training_inside(tmp_path / 'not_there')


def test_a_lock_names_its_owner_and_is_gone_afterwards(tmp_path):
    with locked(tmp_path / 'new'):
        owner = json.loads((tmp_path / 'new' / 'training.lock').read_text())
        assert (owner['host'], owner['pid']) == (socket.gethostname(), os.getpid())
    assert not os.listdir(tmp_path / 'new')


def test_a_lock_is_gone_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert not os.listdir(tmp_path)


def test_a_running_training_keeps_others_out(tmp_path):
    write_lock(tmp_path, socket.gethostname(), os.getppid())
    message = f'process {os.getppid()} on host {socket.gethostname()} trains .*--work-dir'
    with pytest.raises(ConfigError, match=message), locked(tmp_path):
        pass
    assert (tmp_path / 'training.lock').exists()


@pytest.mark.parametrize('content', ['', '\0\0', '[]', '{"host": "here"}', '{"host": "here", "pid": null}'])
def test_a_damaged_lock_says_what_to_do(tmp_path, content):
    (tmp_path / 'training.lock').write_text(content)
    with pytest.raises(ConfigError, match='expected the host and process .* delete this file'), locked(tmp_path):
        pass


def test_a_training_on_another_host_may_still_run(tmp_path):
    write_lock(tmp_path, 'elsewhere', pid_of_a_process_that_is_gone())
    message = 'on host elsewhere trains .* if that process is gone, delete this file'
    with pytest.raises(ConfigError, match=message), locked(tmp_path):
        pass


def test_the_lock_of_a_killed_training_is_taken_over(tmp_path, capsys):
    pid = pid_of_a_process_that_is_gone()
    write_lock(tmp_path, socket.gethostname(), pid)
    with locked(tmp_path):
        assert json.loads((tmp_path / 'training.lock').read_text())['pid'] == os.getpid()
    assert f'process {pid} of this host, which trained here, is gone' in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_the_lock_of_a_process_whose_number_another_has_now_is_taken_over(tmp_path):
    for started, message in ((None, 'trains in this folder'), (_start_time(os.getppid()), 'trains in this folder')):
        (tmp_path / 'training.lock').write_text(json.dumps(
            dict(host=socket.gethostname(), pid=os.getppid(), started=started)))
        with pytest.raises(ConfigError, match=message), locked(tmp_path):
            pass
    (tmp_path / 'training.lock').write_text(json.dumps(dict(host=socket.gethostname(), pid=os.getppid(), started=1)))
    with locked(tmp_path):
        assert json.loads((tmp_path / 'training.lock').read_text())['pid'] == os.getpid()


def test_of_several_that_begin_at_once_one_gets_the_folder(tmp_path):
    barrier, entered = threading.Barrier(4), []

    def create(number):
        barrier.wait()
        try:
            _create(tmp_path / 'training.lock', str(number).encode())
        except ConfigError as error:
            assert 'another training has just begun' in str(error)
        else:
            entered.append(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(4)))
    assert len(entered) == 1 and (tmp_path / 'training.lock').read_text() == str(entered[0])
    assert os.listdir(tmp_path) == ['training.lock']


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_the_lock_of_a_zombie_is_taken_over(tmp_path):
    """Of a process that ended and whose parent does not ask, as in containers without an init."""
    with subprocess.Popen([sys.executable, '-c', '']) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # until it ended
        write_lock(tmp_path, socket.gethostname(), zombie.pid)
        with locked(tmp_path):
            assert json.loads((tmp_path / 'training.lock').read_text())['pid'] == os.getpid()


def test_a_work_dir_that_is_a_file_is_one_message(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match='file is a folder that you may write to'), locked(tmp_path / 'file'):
        pass
