"""Small made-up demonstrations, and where the real ones lie."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_demos import write_dataset


@pytest.fixture
def small(tmp_path: Path) -> Callable[[list[int]], Path]:
    """Writes episodes of the given lengths and returns the directory."""

    def write(lengths: list[int]) -> Path:
        directory = tmp_path / "demos"
        write_dataset(directory, lengths)
        return directory

    return write


@pytest.fixture
def human_push_t() -> Path:
    """The folder of the human Push-T demonstrations."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("FEELFORWARD_DATA", default)) / "pusht_human"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set FEELFORWARD_DATA to the folder with pusht_human.")
    return folder
