import os
from pathlib import Path

from robot_io.session.time_slice import slice_ns
from scripts.commands.doctor import _autogroups, _real_time


def test_the_doctor_says_what_the_control_process_would_get_and_stays_as_it_is() -> None:
    before = (os.sched_getscheduler(0), os.sched_getaffinity(0), slice_ns(0))
    findings = {finding.what: finding for finding in _real_time()}
    assert set(findings) == {
        "real time, garbage collector",
        "real time, memory",
        "real time, time slice",
        "real time, SCHED_FIFO",
        "real time, a core of its own",
    }
    assert not any(finding.needed for finding in findings.values())
    fifo = findings["real time, SCHED_FIFO"]
    assert fifo.good or "→ give your user rtprio" in fifo.line()
    assert (os.sched_getscheduler(0), os.sched_getaffinity(0), slice_ns(0)) == before


def test_the_doctor_says_where_nice_is_worth_nothing(tmp_path: Path) -> None:
    setting = tmp_path / "sched_autogroup_enabled"
    assert _autogroups(setting).good
    setting.write_text("0\n")
    assert _autogroups(setting).good
    setting.write_text("1\n")
    assert "→ sudo sysctl" in _autogroups(setting).line()
