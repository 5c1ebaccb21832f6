# MuJoCo's wheel carries no type stubs and pyright cannot look into its extension modules.
from typing import Any

def __getattr__(name: str) -> Any: ...
