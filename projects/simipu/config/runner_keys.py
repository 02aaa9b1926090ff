"""The top-level keys of a config that MMEngine's Runner (or this package's tools) make use of."""
import inspect
from difflib import get_close_matches

from mmengine.runner import Runner

RUNNER_KEYS = frozenset(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | {
    # Read from the whole config.
    'activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn'}


def misspelt_keys(keys: list[str]) -> list[str]:
    """One sentence for each of a config's top-level keys that is nearly, but not quite, one of the Runner's."""
    problems = []
    for key in keys:
        close = [] if key in RUNNER_KEYS else get_close_matches(key, RUNNER_KEYS, n=1, cutoff=0.88)
        if close and close[0] not in keys:
            problems.append(f'{key}: the Runner reads no such key, so it would do nothing; did you mean '
                            f'{close[0]}? (A variable of your own needs another name)')
    return problems
