"""What an arm does when nobody tells it where to go any more: it stops by itself."""

from robot_io.clock import NS_PER_S

# why an arm takes no more commands, for records and operators
NO_TARGET = "no_target"  # they ceased
REQUESTED = "requested"  # somebody called `stop`


class TargetWatchdog:
    """Trips when the newest target is older than its limit, by its own stamp; then latched.

    It belongs on the arm's side of whatever may freeze: in the driver's process, not in the one
    that commands. Libraries that keep an arm's fast link alive need it too: they hold the last
    target for ever. Before the first target the arm stands still anyway.
    """

    def __init__(self, max_age_s: float) -> None:
        if not 0 < max_age_s <= 1:
            raise ValueError(f"max_age_s = {max_age_s}, allowed (0, 1] s.")
        self._max_age_ns = round(max_age_s * NS_PER_S)
        self.reset()

    def reset(self) -> None:
        """A person begins again: waits for a first target."""
        self._newest_ns: int | None = None
        self._tripped = False

    def fed(self, stamp_ns: int) -> None:
        """A target with this stamp has come. One that does not advance is no news."""
        if self._newest_ns is None or stamp_ns > self._newest_ns:
            self._newest_ns = stamp_ns

    def tripped(self, now_ns: int) -> bool:
        """Whether the arm must stand still."""
        if self._newest_ns is not None and not now_ns - self._newest_ns <= self._max_age_ns:
            self._tripped = True
        return self._tripped
