"""Demonstrations: written by the collector, read by the trainer. LeRobot dataset v3.0 on disk."""

from policy.data.dataset import DemoDataset, open_dataset
from policy.data.sampler import Batch, WindowSampler
from policy.data.summary import dataset_info
from policy.data.writer import LeRobotWriter
from policy.data.zarr_import import import_zarr

__all__ = [
    "Batch",
    "DemoDataset",
    "LeRobotWriter",
    "WindowSampler",
    "dataset_info",
    "import_zarr",
    "open_dataset",
]
