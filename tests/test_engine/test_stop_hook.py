"""Signals, in a process of their own."""
import multiprocessing
import signal
import subprocess
import sys
import time

import pytest

from simipu.engine import StopHook

TWO_SIGNALS = '''
import os, signal, sys, time
from simipu.engine.stop_hook import StopHook
hook = StopHook()
os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)  # the same event, repeated by a launcher
print('finishes the step', flush=True)
time.sleep(1.1)
os.kill(os.getpid(), int(sys.argv[1]))
print('is still there')
'''


def test_a_second_signal_stops_at_once():
    done = subprocess.run([sys.executable, '-c', TWO_SIGNALS, str(int(signal.SIGINT))], capture_output=True, text=True,
                          timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, 'finishes the step\n', '')


@pytest.fixture
def stop_hook():
    hook = StopHook()
    yield hook
    hook.restore()


def test_processes_forked_from_the_training_end_on_sigterm(stop_hook):
    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(0.2)  # until it sleeps
    child.terminate()
    child.join(20)
    exit_code = child.exitcode
    child.kill()
    assert exit_code == -signal.SIGTERM


def test_signals_are_given_back():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    hook = StopHook()
    assert [signal.getsignal(number) for number in numbers] != before
    hook.restore()
    assert [signal.getsignal(number) for number in numbers] == before
