"""Who may talk to whom: CURVE key pairs in files, and known partners only.

A folder of keys belongs to one machine and holds

    NAME.key_secret   its own pair, mode 0600; it never leaves the machine
    NAME.key          its own public key, for the other machines
    OTHER.key         the public key of each machine that it trusts

A robot trusts exactly one: its server. A server serves those it trusts and nobody else. The files
are ZMQ's certificates.
"""

import os
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq
from zmq.auth import load_certificate
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from robot_io.errors import FeelforwardError

SECRET, PUBLIC = ".key_secret", ".key"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DOMAIN = "feelforward"


class KeysError(FeelforwardError):
    """Keys that are missing, not kept safe, or not those of the other side."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A machine's own pair and whom it trusts, as ZMQ's texts of 40 characters."""

    name: str
    public: bytes
    secret: bytes = field(repr=False)
    trusted: Mapping[str, bytes]  # name -> public key


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Makes a pair in a folder that has none yet; the paths of the public and secret file."""
    if not NAME.fullmatch(name):
        raise KeysError(f"--name {name!r}, allowed: up to 64 letters, digits, - and _.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (*folder.glob(f"*{SECRET}"), folder / f"{name}{PUBLIC}"):
            if path.exists():
                raise KeysError(f"{path} exists and stays as it is. Choose another folder: --out.")
        public, secret = zmq.curve_keypair()
        public_path, secret_path = folder / f"{name}{PUBLIC}", folder / f"{name}{SECRET}"
        _write(secret_path, {"public-key": public, "secret-key": secret}, mode=0o600)
        _write(public_path, {"public-key": public}, mode=0o644)
    except OSError as error:
        raise KeysError(f"{folder}: no keys can be made ({error.strerror}).") from error
    return public_path, secret_path


def load_keys(folder: Path) -> Keys:
    """The keys in a folder. Refuses secrets that others may read, and folders they may write."""
    try:
        _check_private(folder, forbidden=0o022, fix="chmod go-w")
        secrets = sorted(folder.glob(f"*{SECRET}"))
        if len(secrets) != 1:
            raise KeysError(
                f"{folder} has {len(secrets)} secret keys (*{SECRET}), allowed: exactly one, of "
                "this machine. Make one with `feelforward keys`."
            )
        _check_private(secrets[0], forbidden=0o077, fix="chmod 600")
        public, secret = _load(secrets[0])
        known = {path.stem: _load(path)[0] for path in sorted(folder.glob(f"*{PUBLIC}"))}
    except OSError as error:
        raise KeysError(f"{error.filename or folder}: {error.strerror or error}.") from error
    if secret is None or zmq.curve_public(secret) != public:
        raise KeysError(f"{secrets[0]} does not hold a pair of keys. Make a new one.")
    trusted = {name: key for name, key in known.items() if key != public}
    return Keys(secrets[0].stem, public, secret, trusted)


def check_endpoint(endpoint: str, keys: Keys | None) -> str:
    """The endpoint as ZMQ takes it. Beyond this machine only with keys, and with them trust."""
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise KeysError(f"{endpoint!r} is no address, allowed: tcp://HOST:PORT.")
    if keys is None and not _is_loopback(host):
        raise KeysError(
            f"{endpoint} reaches beyond this machine, allowed without keys: tcp://127.0.0.1:PORT. "
            "Make keys with `feelforward keys` and name their folder with --keys."
        )
    if keys is not None and not keys.trusted:
        raise KeysError(
            f"The folder with {keys.name}{SECRET} holds no other machine's public key. Copy the "
            f"other side's NAME{PUBLIC} into it."
        )
    return endpoint.replace("//localhost:", "//127.0.0.1:")


def secure_client(socket: zmq.Socket, keys: Keys) -> None:
    """Only the trusted server can read or answer what goes through this socket."""
    if len(keys.trusted) != 1:
        raise KeysError(
            f"The keys trust {', '.join(keys.trusted)}; allowed at a robot: its server only."
        )
    (server,) = keys.trusted.values()
    socket.curve_serverkey = server
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret


def secure_server(socket: zmq.Socket, keys: Keys) -> None:
    """Before `bind`; a `Doorkeeper` must be at work, without one every client is refused."""
    socket.curve_secretkey = keys.secret
    socket.curve_server = True
    socket.zap_domain = DOMAIN.encode()
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


class Doorkeeper:
    """Lets the trusted clients of `keys` in; at work between entering and leaving.

    `refuse` is called, in a thread of its own, for each other one that has knocked.
    """

    def __init__(self, context: zmq.Context, keys: Keys, *, refuse: Callable[[], None]) -> None:
        self._trusted = frozenset(keys.trusted.values())
        self._refuse = refuse
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.configure_curve_callback(DOMAIN, self)

    def __enter__(self) -> Self:
        self._authenticator.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._authenticator.stop()

    def callback(self, domain: str, key: bytes) -> bool:
        """ZMQ asks this in the authenticator's thread."""
        known = key in self._trusted
        if not known:
            self._refuse()
        return known


def _write(path: Path, entries: Mapping[str, bytes], *, mode: int) -> None:
    """A certificate in ZMQ's own layout; never over a file that is there."""
    lines = [f'    {name} = "{key.decode()}"\n' for name, key in entries.items()]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, mode), "w") as file:
        file.writelines(["curve\n", *lines])


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = load_certificate(path)
        for key in (public, secret or public):
            if len(z85.decode(key)) != 32:
                raise ValueError
    except (ValueError, LookupError, struct.error) as error:
        raise KeysError(f"{path} is not a key as `feelforward keys` makes it.") from error
    return public, secret


def _check_private(path: Path, *, forbidden: int, fix: str) -> None:
    facts = path.stat()
    if facts.st_mode & forbidden or facts.st_uid not in (os.getuid(), 0):
        raise KeysError(
            f"{path} is open to other users (mode {facts.st_mode & 0o777:03o}, owner "
            f"{facts.st_uid}). Close it: {fix} {path}"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
