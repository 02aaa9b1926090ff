"""The simulator of benchmarks/scaling.py against closed forms."""
import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / 'benchmarks' / 'scaling.py'
SPEC = importlib.util.spec_from_file_location('scaling_benchmark', FILE)
scaling = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scaling)

COSTS = scaling.Costs(batch=10, compute=0.1, backward=0.5, load=0.01, workers=2, gradient_bytes=160e6, frame_bytes=2e6)


def test_one_process_computes_and_exchanges_nothing():
    step = scaling.simulate(COSTS, scaling.Cluster(1, 1e9))
    assert step.seconds == 0.1 and step.exchange == 0 and step.efficiency == 1
    assert step.frames_per_second == 100 and step.read_bytes_per_second == 200e6


def test_a_ring_of_many_sends_all_gradients_twice_and_hides_behind_the_backward_pass():
    many = scaling.Cluster(1000, 1e9, latency=0.0)
    assert scaling.ring_seconds(160e6, many) == pytest.approx(2 * 0.160 * 0.999)
    assert scaling.simulate(COSTS, many).exchange == pytest.approx(2 * 0.160 * 0.999 - 0.05)
    assert scaling.simulate(COSTS, scaling.Cluster(1000, 1e11, latency=0.0)).exchange == 0
    assert scaling.ring_seconds(0, scaling.Cluster(3, 1e9, latency=1e-3)) == pytest.approx(4e-3)


def test_slow_loading_sets_the_pace():
    step = scaling.simulate(COSTS._replace(workers=1, load=0.05), scaling.Cluster(4, 1e12))
    assert step.seconds == 0.5 and step.frames_per_second == 80 and step.efficiency == 1


def test_processes_that_share_cores_wait_for_each_other():
    assert scaling.simulate(COSTS, scaling.Cluster(4, 1e15, 0.0, cores=2)).seconds == pytest.approx(0.2)
    assert scaling.simulate(COSTS, scaling.Cluster(2, 1e15, 0.0, cores=2)).seconds == pytest.approx(0.1)


def test_all_wait_for_the_slowest():
    """The mean of the largest of 512 normally distributed numbers is 3.04; the bound is sqrt(2 ln 512) = 3.53."""
    step = scaling.simulate(COSTS._replace(jitter=0.1), scaling.Cluster(512, 1e15, 0.0))
    assert 0.1 * 1.304 < step.seconds < 0.1 * 1.36
