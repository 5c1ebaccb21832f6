"""A vision-based tactile sensor: the image that a camera behind a marked gel pad would give.

Made from MuJoCo's own contact information: every contact on the pad leaves a dent (normal force)
and drags the gel sideways (friction force). Both spread over the pad by an elastic kernel. Three
coloured lights graze the surface, so slopes show as colour, and a grid of dots printed on the gel
moves with it, so shear shows as motion of the dots. Taking shear from contact forces, not from
sliding speeds, is what makes the firm grip on a cap that resists visible.

Legend: N contacts; contact columns `across_m, along_m, normal_n, shear_across_n, shear_along_n`.
"""

import mujoco
import numpy as np

from sim.fr3 import PAD_HALF_M

IMAGE_PX = 32
MAX_CONTACTS = 8
CONTACT_WIDTH = 5
_DENT_SIGMA_M = 0.0020
_SHEAR_SIGMA_M = 0.0060
_DENT_M_PER_N = 3.0e-5  # 45 N dent the gel by about 1.4 mm
_SHEAR_M_PER_N = 9.0e-5  # 10 N drag it by about 0.9 mm
_SPREAD = (1.0, 0.5, 0.0)  # where a contact's load lies, from the patch's end to its middle
_DOTS = 5
_DOT_SIGMA_M = 0.00055
_LIGHT_DEG = (90.0, 210.0, 330.0)  # directions of the red, green and blue light
_BASE_RGB = np.array([118.0, 112.0, 120.0])
_SLOPE_GAIN = 110.0


def pad_contacts(model: mujoco.MjModel, data: mujoco.MjData, pad_geom: int) -> np.ndarray:
    """Returns (MAX_CONTACTS, 5): contacts of one pad in its own plane, strongest first, 0-padded.

    Forces are those that act on the pad, N; positions from the pad's centre, m.
    """
    rows = np.zeros((MAX_CONTACTS, CONTACT_WIDTH))
    geoms = data.contact.geom
    touching = np.flatnonzero((geoms[:, 0] == pad_geom) | (geoms[:, 1] == pad_geom))
    if not touching.size:
        return rows
    pad_in_world = data.geom_xmat[pad_geom].reshape(3, 3)
    force_6, found = np.empty(6), []
    for index in touching:
        mujoco.mj_contactForce(model, data, int(index), force_6)
        frame = data.contact.frame[index].reshape(3, 3)
        on_second = frame.T @ force_6[:3]  # MuJoCo gives the force from geom1 on geom2
        on_pad = pad_in_world.T @ (on_second if geoms[index, 1] == pad_geom else -on_second)
        at = pad_in_world.T @ (data.contact.pos[index] - data.geom_xpos[pad_geom])
        found.append((at[0], at[2], abs(on_pad[1]), on_pad[0], on_pad[2]))
    found.sort(key=lambda row: -row[2])
    rows[: len(found)] = found[:MAX_CONTACTS]
    return rows


def _spread(contacts_N5: np.ndarray) -> np.ndarray:
    """Spreads point forces over the patch: MuJoCo reports a line or face contact by its ends."""
    if len(contacts_N5) < 2:
        return contacts_N5
    load = contacts_N5[:, 2:3] / contacts_N5[:, 2].sum()
    middle = (load * contacts_N5[:, :2]).sum(axis=0)
    parts = np.repeat(contacts_N5[None], len(_SPREAD), axis=0)
    share = np.array(_SPREAD)[:, None, None]
    parts[:, :, :2] = middle + share * (contacts_N5[:, :2] - middle)
    parts[:, :, 2:] /= len(_SPREAD)
    return parts.reshape(-1, CONTACT_WIDTH)


class GelRenderer:
    """Turns contacts into images; keeps the pixel grid. Axes: x across the finger, y along it."""

    def __init__(self) -> None:
        half_m = PAD_HALF_M[0]
        line = (np.arange(IMAGE_PX) + 0.5) / IMAGE_PX * 2 - 1
        self._x, self._y = np.meshgrid(line * half_m, line[::-1] * half_m)
        rest = np.linspace(-0.8, 0.8, _DOTS) * half_m
        self._dot_x, self._dot_y = (grid.ravel() for grid in np.meshgrid(rest, rest))
        angles = np.deg2rad(_LIGHT_DEG)
        self._light_x, self._light_y = np.cos(angles), np.sin(angles)

    def render(self, contacts_N5: np.ndarray) -> np.ndarray:
        """Returns (32, 32, 3) uint8 for the contacts of one pad."""
        contacts = _spread(contacts_N5[contacts_N5[:, 2] > 0])
        slope_x, slope_y, depth = self._dent(contacts)
        image = np.empty((IMAGE_PX, IMAGE_PX, 3))
        for channel, (lx, ly) in enumerate(zip(self._light_x, self._light_y, strict=True)):
            image[..., channel] = _BASE_RGB[channel] + _SLOPE_GAIN * (lx * slope_x + ly * slope_y)
        image += 40.0 * (depth / 0.001)[..., None]  # pressed gel is thinner: brighter
        image *= 1 - 0.75 * self._dots(contacts)[..., None]
        return np.clip(np.round(image), 0, 255).astype(np.uint8)

    def _dent(self, contacts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slopes and depth (m) of the dented gel; dragged along with the shear."""
        slope_x, slope_y, depth = (np.zeros_like(self._x) for _ in range(3))
        for x, y, normal, shear_x, shear_y in contacts:
            dx = self._x - x - _SHEAR_M_PER_N * shear_x
            dy = self._y - y - _SHEAR_M_PER_N * shear_y
            bump = _DENT_M_PER_N * normal * np.exp(-(dx**2 + dy**2) / (2 * _DENT_SIGMA_M**2))
            slope_x += bump * dx / _DENT_SIGMA_M**2
            slope_y += bump * dy / _DENT_SIGMA_M**2
            depth += bump
        return slope_x, slope_y, depth

    def _dots(self, contacts: np.ndarray) -> np.ndarray:
        """Darkness 0..1 of the printed dots, moved by shear and spread by pressure."""
        x, y = self._dot_x.copy(), self._dot_y.copy()
        for cx, cy, normal, shear_x, shear_y in contacts:
            dx, dy = self._dot_x - cx, self._dot_y - cy
            near = np.exp(-(dx**2 + dy**2) / (2 * _SHEAR_SIGMA_M**2))
            push = 0.08 * _DENT_M_PER_N * normal / _DENT_SIGMA_M * near
            x += near * _SHEAR_M_PER_N * shear_x + push * dx
            y += near * _SHEAR_M_PER_N * shear_y + push * dy
        wide = 2 * _DOT_SIGMA_M**2
        column = np.exp(-((self._x[0][:, None] - x) ** 2) / wide)  # (32, dots)
        row = np.exp(-((self._y[:, 0][:, None] - y) ** 2) / wide)
        return np.minimum(1.0, row @ column.T)
