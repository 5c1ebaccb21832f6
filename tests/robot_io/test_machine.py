"""What a record says about where it was made."""

import json
import subprocess
import sys

import numpy as np

from robot_io.machine import machine, made_by


def test_the_versions_that_decide_how_a_command_comes_out_are_named() -> None:
    facts = made_by()
    assert facts["numpy"] == np.__version__
    assert facts["python"] == sys.version.split()[0]
    assert {"feelforward", "ruckig", "mcap", "pyzmq", "processor", "commit"} <= facts.keys()
    assert all(isinstance(value, str) and value for value in facts.values())


def test_it_is_plain_data() -> None:
    assert json.loads(json.dumps(machine())) == machine()


def test_asking_for_versions_imports_none_of_the_packages() -> None:
    code = (
        "import sys, robot_io.machine as m; m.made_by();"
        "print({'torch', 'mujoco', 'numpy', 'ruckig', 'mcap', 'zmq'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
