"""Percentiles of what a bench timed, as a table."""

from collections.abc import Mapping
from dataclasses import astuple

from rich.table import Table

from robot_io.session.timing import Percentiles


def percentile_table(title: str, spreads: Mapping[str, Percentiles]) -> Table:
    """A row for each, in ms."""
    table = Table(title=title, title_justify="left")
    for column in ("", "p50", "p99", "max"):
        table.add_column(column, justify="right" if column else "left")
    for name, spread in spreads.items():
        table.add_row(name, *(f"{ms:.3f}" for ms in astuple(spread)))
    return table
