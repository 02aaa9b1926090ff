"""A seeded share of the malformed checkpoints, configs and command lines; ``run.py`` tries all."""
import random

import checkpoint_cases
import command_cases
import config_cases
import pytest
from outcomes import Outcome, try_case

SECONDS = 120  # of a busy machine


def some(suite, count):
    # Those of a training take seconds each where it is accepted.
    cases = [case for case in suite.cases() if case.group not in {f'checkpoints: {command.__name__}'
                                                                  for command in checkpoint_cases.SLOW}]
    return random.Random(0).sample(cases, count)


@pytest.mark.parametrize('suite, count', [(checkpoint_cases, 40), (config_cases, 80), (command_cases, 150)])
def test_no_traceback_no_hang_no_wrong_result_and_nothing_is_executed(suite, count, tmp_path, on_the_cpu):
    failures = []
    for number, case in enumerate(some(suite, count)):
        folder = tmp_path / str(number)
        folder.mkdir()
        result = try_case(case, folder, SECONDS)
        if result.outcome is Outcome.FAILURE:
            failures.append(f'{case.group}: {case.name}: {result.detail}')
    assert not failures, '\n'.join(failures)
