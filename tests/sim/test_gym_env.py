import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sim.gym_env


def test_the_environment_passes_gymnasiums_checker():
    env = gymnasium.make(sim.gym_env.ENV_ID)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_an_action_that_is_not_a_pose_is_refused():
    env = sim.gym_env.TightenCapEnv()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="quaternion that is not zero"):
        env.step(np.zeros(8))
    with pytest.raises(ValueError, match="finite"):
        env.step(np.full(8, np.nan))
    env.close()
