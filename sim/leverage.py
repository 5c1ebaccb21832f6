"""What a spring at the tool may press with where the arm touches something: the law of the lever.

For every motion v of the joints that their stops allow, the works of all forces cancel out:

    w · J v  +  N g · v  +  rest · v  =  0

w is the spring's wrench at the tool, J v the tool's motion, N g what a plate does to the joints
that is pressed with N, `rest` all else: the pull to the posture, what a motor lacks at its limit,
another contact, inertia. For a motion that takes the place of contact 1 m into the plate
g · v = -1, so

    N  =  w · J v + rest · v  <=  F_max |travel| + T_max |turn| + rest · v

Each such motion gives a bound, and the least of them counts. A hand that may go straight into the
plate takes the tool along: N <= F_max. Where a joint lies against its stop, or where a link
touches, other motions are left: the tool goes further than the contact, or turns for it.

    spring pulls ◀── tool         an elbow at its stop makes the arm a strut from the shoulder to
              ╲      │            the wrist: what pulls along the table wedges the tool down
        strut  ╲─────┴── table
"""

from typing import NamedTuple

import numpy as np


class Leverage(NamedTuple):
    """How the tool moves when the place of contact goes 1 m into what it presses."""

    travel: float  # m per m
    turn_rad_per_m: float
    rest_n: float  # what all but the spring does on that way

    def most_n(self, force_n: float, torque_nm: float) -> float:
        """The press of a spring with these ceilings."""
        return force_n * self.travel + torque_nm * self.turn_rad_per_m + self.rest_n


def least_leverage(
    jacobian_6J: np.ndarray,
    contact_J: np.ndarray,
    rest_J: np.ndarray,
    *,
    inwards_3: np.ndarray,
    ceilings: tuple[float, float],
) -> Leverage:
    """Of two motions the one with the lesser bound.

    `jacobian_6J` of the tool and `contact_J` (g, per N) without the joints at their stops; `rest_J`
    N·m; `ceilings`: N, N·m. The motions are the one that takes the tool straight `inwards_3` (unit,
    base), and the one that minimises the sum of squares of the bound's three terms.
    """
    straight_J = np.linalg.pinv(jacobian_6J) @ np.concatenate([inwards_3, np.zeros(3)])
    terms = np.concatenate(
        [ceilings[0] * jacobian_6J[:3], ceilings[1] * jacobian_6J[3:], rest_J[None]]
    )
    hessian_JJ = terms.T @ terms
    hessian_JJ += 1e-9 * np.trace(hessian_JJ) * np.eye(len(contact_J))
    easiest_J = -np.linalg.solve(hessian_JJ, contact_J)
    found = [Leverage(np.inf, 0.0, 0.0)]
    for motion_J in (straight_J, easiest_J):
        inwards = -float(contact_J @ motion_J)
        if inwards > 0:
            twist_6 = jacobian_6J @ motion_J / inwards
            travel, turn = np.linalg.norm(twist_6[:3]), np.linalg.norm(twist_6[3:])
            rest_n = float(rest_J @ motion_J) / inwards
            found.append(Leverage(float(travel), float(turn), rest_n))
    return min(found, key=lambda each: each.most_n(*ceilings))
