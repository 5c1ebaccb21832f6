from pathlib import Path

import pytest

from policy.config import Recipe
from scripts.checkpoints import REPOSITORY
from scripts.config import load_config
from scripts.tasks import cap

RECIPES = sorted((REPOSITORY / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_sound(path: Path) -> None:
    assert load_config(path, Recipe).policy.horizon in (16, 32)


def test_the_blind_recipe_differs_in_what_it_feels_and_in_nothing_else() -> None:
    seeing, blind = (
        load_config(REPOSITORY / "configs" / f"{name}.toml", Recipe)
        for name in ("tighten_cap", "tighten_cap_blind")
    )
    assert set(seeing.policy.history()) == {*cap.VECTORS, *cap.IMAGES}
    assert blind.policy.history() == {"measured": 1, "wrist": 1, "scene": 1}
    assert blind.train == seeing.train
    streams = {"vectors": seeing.policy.vectors, "images": seeing.policy.images}
    assert blind.policy.model_copy(update=streams) == seeing.policy
