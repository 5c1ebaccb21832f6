"""Which part of a batch is whose, when several processes or several passes share it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from robot_io.errors import FeelforwardError


class _Rows(Protocol):
    def __getitem__(self, rows: slice, /) -> Any: ...


Drawn = TypeVar("Drawn", bound=_Rows)


@dataclass(frozen=True, slots=True)
class Share:
    """Part `index` of `count` equal parts.

    What is drawn at random is drawn for the whole batch, of which each part takes its rows: so the
    parts together see the same numbers as one that does it all.
    """

    index: int = 0
    count: int = 1

    def rows(self, size: int) -> slice:
        """This part of `size` rows. Raises FeelforwardError when they cannot be divided."""
        if size % self.count:
            raise FeelforwardError(
                f"A batch of {size} cannot be divided into {self.count} equal parts, one per "
                f"process and pass: set train.batch_size to a multiple of {self.count}."
            )
        part = size // self.count
        return slice(self.index * part, (self.index + 1) * part)

    def of(self, draw: Callable[[int], Drawn], rows: int) -> Drawn:
        """Its `rows` rows of `draw(n)`, n being those of all parts."""
        return draw(rows * self.count)[self.index * rows : (self.index + 1) * rows]

    def split(self, passes: int) -> list[Self]:
        """This part in `passes` equal parts."""
        first, count = self.index * passes, self.count * passes
        return [type(self)(first + i, count) for i in range(passes)]


WHOLE = Share()
