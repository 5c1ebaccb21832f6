"""`feelforward keys`: a key pair for a machine, so that robot and policy server know each other."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Keys:
    """Make this machine's key pair and say which file goes where. Never overwrites one.

    Robot and policy server need one each; then each gets the other's public key (NAME.key). See
    docs/remote_policy.md.

    Example: feelforward keys --out keys --name robot
    """

    name: str
    """Name of this machine: letters, digits, - and _."""
    out: Path = Path("keys")
    """Folder of this machine's keys."""

    def run(self) -> None:
        from robot_io.remote.keys import make_keys

        public, secret = make_keys(self.out, self.name)
        print(f"Secret: {secret} stays here, and only its owner can read it.")
        print(f"Public: {public} goes into the folder of keys on the other machine.")
        print(f"Next:   put the other machine's public key (NAME.key) into {self.out}/.")
