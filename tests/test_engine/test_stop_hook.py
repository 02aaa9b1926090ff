"""Signals, in a process of their own."""
import signal
import subprocess
import sys

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
    done = subprocess.run([sys.executable, '-c', TWO_SIGNALS, str(int(signal.SIGINT))], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, 'finishes the step\n', '')
