"""Whether MuJoCo can render here: asked first, since without that not even its import works."""

import os

from robot_io.errors import FeelforwardError


def need_rendering() -> None:
    """Raises FeelforwardError when the GL library that MUJOCO_GL names cannot be loaded."""
    try:
        import mujoco  # noqa: F401  # loads the GL library
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever PyOpenGL stumbles over when a library is missing
        raise FeelforwardError(
            f"MUJOCO_GL={os.environ.get('MUJOCO_GL', '')} cannot be loaded ({error}). Headless "
            "rendering needs: sudo apt-get install libegl1 libegl-mesa0 libgl1, and MUJOCO_GL=egl."
        ) from error
