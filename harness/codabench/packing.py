"""Files by their place in a folder, and zips of them that come out the same whenever they are made."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, bytes | Path]
"""Content, or the file that has it, by the place in an archive."""

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
PACKED = (".zip", ".png", ".jpg", ".jpeg")
"""What is compressed already."""


def write_zip(path: Path, files: Files) -> Path:
    """Write files into a new archive, in the order of their places."""
    with zipfile.ZipFile(path, "w") as archive:
        for place in sorted(files):
            content = files[place]
            entry = zipfile.ZipInfo(place, FIRST_DAY)
            entry.compress_type = zipfile.ZIP_STORED if place.lower().endswith(PACKED) else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
    return path


def place_below(folder: str, files: Files) -> dict[str, bytes | Path]:
    """The same files in a folder of the archive."""
    return {f"{folder}/{place}": content for place, content in files.items()}
