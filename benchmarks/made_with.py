"""What is kept in a benchmark's folder goes with the settings it was made with, and no others."""
import sys
from pathlib import Path


def check_made_with(folder: Path, settings: str) -> None:
    """Write ``settings`` beside what is made with them; exit if the folder is of others.

    Args:
        folder: Made if need be.
        settings: Text that is equal for equal settings.
    """
    file = folder / 'made_with.txt'
    if file.is_file() and file.read_text() != settings:
        sys.exit(f'error: {folder} was made with other settings, those in {file}; name another --out, or '
                 'delete the folder')
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(settings)
