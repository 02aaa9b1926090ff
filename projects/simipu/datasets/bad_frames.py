"""What to do with frames that cannot be used."""
import logging

from mmengine.logging import print_log

from ..errors import DataError

NUM_LOGGED = 10
NUM_BEFORE_VERDICT = 10
MAX_IN_A_ROW = 1000  # whatever the limit is: the data have gone, and the search for a good frame would not end


class BadFrameCounter:
    """Counts the frames that were asked for and those of them that were bad.

    The first bad ones are logged. Once ten were met, their share must not be above the limit: with
    fewer, two unlucky frames at the start would end a run whose data is good enough.

    Each process has its own count, each worker of a data loader too.

    Args:
        max_share: Limit of the share of bad frames, in 0..1.
        name: What the data set is called in messages.
    """

    def __init__(self, max_share: float, name: str) -> None:
        self.max_share = max_share
        self.name = name
        self.num_frames = 0
        self.num_bad = 0
        self._in_a_row = 0
        self._logged = set()

    def add_good(self) -> None:
        """Count a frame that could be used."""
        self.num_frames += 1
        self._in_a_row = 0

    def add_bad(self, frame: int, error: DataError) -> None:
        """Count and log a frame that is left out because of ``error``.

        Raises:
            DataError: The share of bad frames is above the limit, or a thousand in a row were bad.
        """
        self.num_frames += 1
        self.num_bad += 1
        self._in_a_row += 1
        if frame not in self._logged and len(self._logged) < NUM_LOGGED:
            self._logged.add(frame)
            silent = '; later ones are not logged' if len(self._logged) == NUM_LOGGED else ''
            print_log(f'skipped a bad frame, {self.num_bad} of {self.num_frames} so far in this '
                      f'process{silent}: {error}', logger='current', level=logging.WARNING)
        if self._in_a_row >= MAX_IN_A_ROW:
            raise DataError(f'{self.name}: {MAX_IN_A_ROW} bad frames in a row; check that the data are still there '
                            f'(`simipu check-dataset` lists what is wrong). The last one: {error}') from error
        if self.num_bad >= NUM_BEFORE_VERDICT and self.share > self.max_share:
            raise DataError(
                f'{self.name}: {self.num_bad} of the first {self.num_frames} frames that this '
                f'process read are bad ({self.share:.1%}), more than max_bad_share='
                f'{self.max_share:.1%}. Mend the data (`simipu check-dataset` lists what is '
                f'wrong), or raise max_bad_share. The last one: {error}') from error

    @property
    def share(self) -> float:
        """Share of the frames so far that were bad."""
        return self.num_bad / max(self.num_frames, 1)
