"""What is kept in a benchmark's folder goes with the settings it was made with, and no others."""
import sys
from pathlib import Path

from simipu.files import write_whole


def check_made_with(folder: Path, settings: str) -> None:
    """Write ``settings`` beside what is made with them, once; exit if the folder is of others.

    Args:
        folder: Made if need be.
        settings: Text that is equal for equal settings.
    """
    file = folder / 'made_with.txt'
    found = file.read_text() if file.is_file() else None
    if found == settings:
        return
    if folder.is_dir() and any(folder.iterdir()):
        found_in = 'unknown settings' if found is None else f'other settings, those in {file}'
        sys.exit(f'error: {folder} was made with {found_in}; name another --out, or delete the folder')
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, settings.encode())
