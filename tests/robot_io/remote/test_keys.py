"""Keys: kept from others' eyes, never overwritten, required beyond this machine."""

from pathlib import Path

import pytest
from policy_parts import key_folders

from robot_io.remote.keys import SECRET, KeysError, check_endpoint, load_keys, make_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a robot that trusts one server."""
    return key_folders(tmp_path, "robot", "gpu")[0]


def test_a_pair_is_made_private_and_read_back(folder: Path) -> None:
    keys = load_keys(folder)
    assert (folder / f"robot{SECRET}").stat().st_mode & 0o777 == 0o600
    assert keys.name == "robot"
    assert list(keys.trusted) == ["gpu"]
    assert keys.secret not in (folder / "robot.key").read_bytes()
    assert keys.secret.decode() not in repr(keys)


def test_a_pair_is_never_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for name in ("robot", "other", "gpu"):
        with pytest.raises(KeysError, match="exists and stays as it is"):
            make_keys(folder, name)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_is_written_through_a_link_that_lies_in_the_way(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "keys", tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    (folder / f"robot{SECRET}").symlink_to(elsewhere)
    with pytest.raises(KeysError, match="File exists"):
        make_keys(folder, "robot")
    assert not elsewhere.exists()


@pytest.mark.parametrize("name", ["", "../robot", "a b", ".robot", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="allowed: up to 64"):
        make_keys(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    (folder / f"robot{SECRET}").chmod(mode)
    with pytest.raises(KeysError, match=f"mode {mode:03o}.*chmod 600"):
        load_keys(folder)


def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    folder.chmod(0o770)
    with pytest.raises(KeysError, match="chmod go-w"):
        load_keys(folder)


def test_one_machine_has_one_secret(folder: Path, tmp_path: Path) -> None:
    (folder / f"second{SECRET}").write_bytes((folder / f"robot{SECRET}").read_bytes())
    with pytest.raises(KeysError, match="has 2 secret keys"):
        load_keys(folder)
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(KeysError, match=r"has 0 secret keys.*feelforward keys"):
        load_keys(tmp_path / "empty")
    with pytest.raises(KeysError, match="No such file"):
        load_keys(tmp_path / "missing")


@pytest.mark.parametrize(
    "content",
    [b"", b"public-key", b'public-key = "short"', b'public-key = "' + b"%" * 40 + b'"', b"\xff"],
)
def test_a_file_that_is_no_key_is_one_sentence(folder: Path, content: bytes) -> None:
    (folder / "gpu.key").write_bytes(content)
    with pytest.raises(KeysError, match=r"gpu\.key is not a key"):
        load_keys(folder)


def test_halves_of_two_pairs_are_no_pair(folder: Path) -> None:
    secret = folder / f"robot{SECRET}"
    foreign = (folder / "gpu.key").read_text().splitlines()[1]
    lines = secret.read_text().splitlines()
    secret.write_text("\n".join([lines[0], foreign, lines[2]]))
    with pytest.raises(KeysError, match="does not hold a pair"):
        load_keys(folder)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://0.0.0.0:1", "tcp://*:1", "tcp://10.0.0.1:1", "tcp://gpu:1", "tcp://[::]:1"],
)
def test_beyond_this_machine_only_with_keys(folder: Path, endpoint: str) -> None:
    with pytest.raises(KeysError, match=r"beyond this machine.*--keys") as error:
        check_endpoint(endpoint, None)
    assert "\n" not in str(error.value)
    assert check_endpoint(endpoint, load_keys(folder)) == endpoint


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1"])
def test_on_this_machine_keys_are_optional(endpoint: str) -> None:
    assert check_endpoint(endpoint, None) == endpoint.replace("localhost", "127.0.0.1")


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:1", "ipc://x", "tcp://127.0.0.1", "tcp://:5", "tcp://h:0", "tcp://h:x"]
)
def test_what_is_no_address_is_one_sentence(endpoint: str) -> None:
    with pytest.raises(KeysError, match="is no address, allowed: tcp://HOST:PORT"):
        check_endpoint(endpoint, None)


def test_keys_that_trust_nobody_are_refused(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", "robot")
    with pytest.raises(KeysError, match="holds no other machine's public key"):
        check_endpoint("tcp://127.0.0.1:1", load_keys(tmp_path / "keys"))
