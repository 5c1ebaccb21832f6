import numpy as np

from sim.tactile import CONTACT_WIDTH, MAX_CONTACTS, GelRenderer


def contacts(*rows: tuple[float, float, float, float, float]) -> np.ndarray:
    padded = np.zeros((MAX_CONTACTS, CONTACT_WIDTH))
    padded[: len(rows)] = np.reshape(rows, (-1, CONTACT_WIDTH))
    return padded


def difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left.astype(float) - right.astype(float)).mean())


def test_an_untouched_gel_shows_its_dots_only():
    image = GelRenderer().render(contacts())
    assert image.shape == (32, 32, 3)
    assert image.std() > 5
    assert np.array_equal(image, GelRenderer().render(contacts()))


def test_a_firmer_press_shows_more():
    gel, rest = GelRenderer(), GelRenderer().render(contacts())
    light = gel.render(contacts((0, 0, 5.0, 0, 0)))
    firm = gel.render(contacts((0, 0, 40.0, 0, 0)))
    assert 0 < difference(light, rest) < difference(firm, rest)


def test_the_press_shows_where_it_is():
    gel, rest = GelRenderer(), GelRenderer().render(contacts()).astype(float)
    upper = np.abs(gel.render(contacts((0, 0.006, 30.0, 0, 0))) - rest).sum(axis=2)
    assert upper[:16].sum() > 3 * upper[16:].sum()


def test_shear_moves_the_dots_to_its_side_and_its_sign_can_be_told():
    gel = GelRenderer()
    pressed = gel.render(contacts((0, 0, 30.0, 0, 0)))
    left = gel.render(contacts((0, 0, 30.0, -8.0, 0)))
    right = gel.render(contacts((0, 0, 30.0, 8.0, 0)))
    assert difference(left, right) > 2
    assert difference(pressed, right) > 1
    half = gel.render(contacts((0, 0, 30.0, 4.0, 0)))
    assert difference(pressed, half) < difference(pressed, right)
