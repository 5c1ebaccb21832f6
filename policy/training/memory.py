"""How much memory a training took: its own, and pages of mapped files apart.

Data sets are read through memory maps. Their pages count as resident, yet the system takes them
back whenever it needs room: a data set may be larger than the memory. The process's own must fit.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

KIB_PER_GIB = 1 << 20
BYTES_PER_GIB = 1 << 30
STATUS = Path("/proc/self/status")


@dataclass
class PeakMemory:
    """The largest of what `look` saw, GiB."""

    own_gib: float = 0.0  # anonymous: tensors, weights, the interpreter
    mapped_gib: float = 0.0  # files: the data set's cache, libraries
    gpu_gib: float = 0.0

    def look(self) -> None:
        lines = (line.split() for line in STATUS.read_text().splitlines())
        kib = {words[0]: int(words[1]) for words in lines if words and words[0].startswith("Rss")}
        self.own_gib = max(self.own_gib, kib["RssAnon:"] / KIB_PER_GIB)
        mapped_kib = kib["RssFile:"] + kib["RssShmem:"]
        self.mapped_gib = max(self.mapped_gib, mapped_kib / KIB_PER_GIB)
        if torch.cuda.is_initialized():
            self.gpu_gib = torch.cuda.max_memory_allocated() / BYTES_PER_GIB

    def __str__(self) -> str:
        gpu = f", {self.gpu_gib:.2f} GiB on the GPU" if self.gpu_gib else ""
        return f"{self.own_gib:.2f} GiB of its own, {self.mapped_gib:.2f} GiB of mapped files{gpu}"
