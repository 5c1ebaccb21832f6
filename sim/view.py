"""Draws what a sensor of `TightenCap` sees from a `Snapshot`, in whatever process it runs."""

import mujoco
import numpy as np

from robot_io.errors import FeelforwardError
from sim.fr3 import GROUP_FULL_MESH, GROUP_LOW_POLY, GROUP_SCENE, WRIST_CAMERA
from sim.tactile import GelRenderer
from sim.tighten_cap import SCENE_CAMERA, apply_layout, tighten_cap_spec
from sim.world import Snapshot, layout_of, place_holder

CAMERAS = (WRIST_CAMERA, SCENE_CAMERA)
TACTILE = ("tactile_left", "tactile_right")
STREAMS = (*CAMERAS, *TACTILE)


class CapView:
    """Renders camera images of one size, and tactile images. Enter it to open the GL context."""

    def __init__(self, *, width_px: int = 96, height_px: int = 96, full_mesh: bool = False) -> None:
        self._model = tighten_cap_spec(full_mesh=full_mesh).compile()
        self._data = mujoco.MjData(self._model)
        self._size_px = (height_px, width_px)
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._option.geomgroup[:] = 0
        shown = GROUP_FULL_MESH if full_mesh else GROUP_LOW_POLY
        self._option.geomgroup[[GROUP_SCENE, shown]] = 1
        self._full_mesh = full_mesh
        self._renderer: mujoco.Renderer | None = None
        self._gel = GelRenderer()
        self._seed: int | None = None

    def __enter__(self) -> "CapView":
        if not self._full_mesh:
            quality = self._model.vis.quality  # software rendering is paid by the vertex
            quality.numslices, quality.numstacks, quality.numquads = 12, 6, 1
        self._model.vis.global_.offwidth = max(640, self._size_px[1])
        self._model.vis.global_.offheight = max(480, self._size_px[0])
        if self._full_mesh:
            self._model.vis.quality.offsamples = 4
            self._model.vis.quality.shadowsize = 1024
        try:
            self._renderer = mujoco.Renderer(self._model, *self._size_px)
        except Exception as error:  # MuJoCo raises whatever the GL library raised
            raise FeelforwardError(
                f"No OpenGL context for rendering ({error}). Install libegl1 and libgl1 and set "
                "MUJOCO_GL=egl (no screen needed), or run `feelforward doctor`."
            ) from error
        return self

    def __exit__(self, *exc: object) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def draw(self, stream: str, snapshot: Snapshot) -> np.ndarray:
        """Returns (H, W, 3) uint8 RGB of a camera, or (32, 32, 3) of a tactile sensor."""
        if stream in TACTILE:
            return self._gel.render(snapshot.contacts_PN5[TACTILE.index(stream)])
        if stream not in CAMERAS:
            raise FeelforwardError(f"No sensor {stream!r} in TightenCap; it has {STREAMS}.")
        assert self._renderer is not None, "enter the view before drawing"
        self._pose(snapshot)
        self._renderer.update_scene(self._data, stream, self._option)
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = int(self._full_mesh)
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        return self._renderer.render()

    def _pose(self, snapshot: Snapshot) -> None:
        layout = layout_of(snapshot.seed)
        if snapshot.seed != self._seed:
            apply_layout(self._model, layout)
            self._seed = snapshot.seed
        self._data.qpos[:] = snapshot.qpos
        place_holder(self._model, self._data, layout)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)


def add_noise(image_HWC: np.ndarray, std_counts: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the image with Gaussian sensor noise, uint8."""
    noisy_HWC = rng.standard_normal(image_HWC.shape, np.float32)
    noisy_HWC *= std_counts
    noisy_HWC += image_HWC
    np.rint(noisy_HWC, out=noisy_HWC)
    return np.clip(noisy_HWC, 0, 255, out=noisy_HWC).astype(np.uint8)
