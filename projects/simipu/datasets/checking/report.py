"""What a check of a data set found, as text and as JSON."""
from dataclasses import dataclass, field

MAX_LINES = 10
"""Findings of one kind that the text report lists; the JSON report has all."""


@dataclass
class Finding:
    """Something wrong.

    Attributes:
        kind: What, in a few words, the same for all findings of its kind: 'missing file'.
        message: What was found where, and what to do.
        frame: Position in the info file, if it concerns one frame.
        camera: Its name, if it concerns one camera.
    """
    kind: str
    message: str
    frame: int | None = None
    camera: str | None = None


@dataclass
class Report:
    """All that was found, and figures of each camera.

    Attributes:
        info_file: What was checked.
        num_frames: Frames in the info file.
        num_opened: Frames whose files were opened.
        findings: What is wrong.
        cameras: By name, figures such as ``visible_share``, ``pairs`` and ``calibration``.
        warnings: What harms a training without being wrong.
        notes: What could not be checked, and why.
    """
    info_file: str
    num_frames: int = 0
    num_opened: int = 0
    findings: list[Finding] = field(default_factory=list)
    cameras: dict[str, dict] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def to_dict(self) -> dict:
        """The report for JSON."""
        return dict(info_file=self.info_file, passed=self.passed, num_frames=self.num_frames,
                    num_opened=self.num_opened, cameras=self.cameras, warnings=self.warnings,
                    notes=self.notes, findings=[vars(finding) for finding in self.findings])

    def to_text(self) -> str:
        """The report for a terminal."""
        lines = [f'{self.info_file}: {self.num_frames} frames, files of {self.num_opened} opened']
        lines += [f'  {name}: {_describe(figures)}' for name, figures in self.cameras.items()]
        for kind in dict.fromkeys(finding.kind for finding in self.findings):
            lines += self._lines_of(kind)
        lines += [f'warning: {warning}' for warning in self.warnings]
        lines += [f'note: {note}' for note in self.notes]
        lines.append('passed' if self.passed else f'FAILED: {len(self.findings)} findings')
        return '\n'.join(lines)

    def _lines_of(self, kind: str) -> list[str]:
        messages = [finding.message for finding in self.findings if finding.kind == kind]
        lines = [f'{kind} ({len(messages)}):', *(f'  {text}' for text in messages[:MAX_LINES])]
        if len(messages) > MAX_LINES:
            lines.append(f'  and {len(messages) - MAX_LINES} more')
        return lines


def _describe(figures: dict) -> str:
    parts = []
    if 'visible_share' in figures:
        parts.append(f'{figures["visible_share"]:.1%} of the points visible')
    if 'pairs' in figures:
        parts.append(f'{figures["pairs"]["mean"]:.0f} pairs (fewest {figures["pairs"]["min"]})')
    if 'calibration' in figures:
        calibration = figures['calibration']
        parts.append(f'calibration {calibration["verdict"]} (score {calibration["score"]:.1f}, '
                     f'advantage {calibration["advantage"]:+.1f}, best at perturbation '
                     f'{calibration["best"]}; {calibration["num_images"]} images)')
    return ', '.join(parts) or 'nothing measured'
