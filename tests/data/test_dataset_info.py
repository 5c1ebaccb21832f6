import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from policy.data import dataset_info, open_dataset


def test_the_summary_says_what_is_in_it(small: Callable[[list[int]], Path]) -> None:
    directory = small([5, 6, 9])
    open_dataset(directory).vector("measured")
    paper = io.StringIO()

    Console(width=120, file=paper).print(dataset_info(directory))

    text = paper.getvalue()
    for part in (
        "3 of 5 to 9 rows",
        "10 Hz nominal; between rows 100.0 ms",
        "Tighten the cap. (3 episodes)",
        "2 of 3 (67 %)",
        "image uint8",
        "12 x 16 x 3",
        "in 3 files",
    ):
        assert part in text
    assert next(line for line in text.splitlines() if "cache" in line).split()[1:] == ["measured"]
