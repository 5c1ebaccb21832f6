# Pinocchio's wheel lies outside of where pyright looks (cmeel.prefix) and carries no type stubs.
from typing import Any

def __getattr__(name: str) -> Any: ...
