"""`feelforward serve`: a checkpoint plans for a robot on another machine."""

from dataclasses import dataclass
from pathlib import Path

from policy.config import Joining
from scripts.checkpoints import SHIPPED_DEFAULT


@dataclass(frozen=True, slots=True)
class Serve:
    """Plan with a checkpoint for one robot at a time, over the network, until Ctrl-C.

    The robot runs `feelforward run --policy tcp://HOST:PORT`. Beyond this machine both need keys:
    see docs/remote_policy.md.

    Examples:
      feelforward serve --bind tcp://127.0.0.1:5555
      feelforward serve --checkpoint runs/first --bind tcp://0.0.0.0:5555 --keys keys
    """

    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    bind: str = "tcp://127.0.0.1:5555"
    """Where to listen: tcp://ADDRESS:PORT."""
    keys: Path | None = None
    """Folder of this machine's keys, with the public key of each robot that may connect."""
    joining: Joining = "guided"
    """How a plan takes up what is still planned: see docs/joining.md."""

    def run(self) -> None:
        from robot_io.remote.keys import check_endpoint, load_keys

        keys = None if self.keys is None else load_keys(self.keys)
        check_endpoint(self.bind, keys)  # before torch is loaded
        from scripts.checkpoints import find_checkpoint
        from scripts.live.serving import PolicyServer, offer_of
        from scripts.policies import load_policy

        policy = load_policy(str(find_checkpoint(self.checkpoint)), self.joining)
        offer = offer_of(policy.config)
        with PolicyServer(policy, offer, self.bind, keys=keys, tell=_tell) as server:
            known = "anyone on this machine" if keys is None else ", ".join(keys.trusted)
            _tell(f"Serving {self.checkpoint} at {self.bind} to {known}. Ctrl-C ends it.")
            server.run()


def _tell(sentence: str) -> None:
    print(sentence, flush=True)
