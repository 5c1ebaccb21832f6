"""`pytest tests/faults -m slow --times 20`: every fault twenty times in a row."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=1, help="how often each fault is put in")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "repetition" in metafunc.fixturenames:
        times = metafunc.config.getoption("--times", 1)
        metafunc.parametrize("repetition", range(1, times + 1))
