"""Students that learn a teacher's plans, to draw them in one or two evaluations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from policy_toy import ForkSampler, fork_recipe
from torch import Tensor

from policy import statistics
from policy.checkpoint import export_checkpoint, load_checkpoint, load_network
from policy.config import PolicyConfig, Recipe
from policy.features import make_features
from policy.generative.paths import interpolate
from policy.networks.condition import Condition
from policy.planning.drawing import FlowDrawing, known
from policy.planning.given_rows import GivenRows
from policy.training.chunk_loss import DrawnChunk
from policy.training.objective import Objective
from policy.training.teacher import Teacher
from policy.training.train import train
from robot_io.errors import FeelforwardError
from robot_io.types import MonoNs, Observation

PLANS = 40
CPU = torch.device("cpu")
TEMPERATURE = 0.7
COOLER = 0.5  # of a student that learns its teacher's plans from less noise


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FITTED_WINDOWS", 512)


def changed(recipe: Recipe, **policy: object) -> Recipe:
    content = recipe.policy.model_dump()
    for name, value in policy.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return recipe.model_copy(update={"policy": PolicyConfig.model_validate(content)})


def teacher_recipe(**policy: object) -> Recipe:
    plain = fork_recipe(kind="mlp", steps=400)
    return changed(plain, given_rows=4, sampling={"temperature": TEMPERATURE}, **policy)


def student_recipe(*, evaluations: int = 1, steps: int = 400, **train_config: object) -> Recipe:
    way = {
        "solver": "euler",
        "grid": "cubic",
        "evaluations": evaluations,
        "temperature": TEMPERATURE,
    }
    return changed(
        fork_recipe(kind="mlp", steps=steps, **train_config),
        given_rows=4,
        generative={"distilled": True},
        sampling=way,
    )


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher's run."""
    folder = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "FITTED_WINDOWS", 512)
        train(teacher_recipe(), ForkSampler(), folder, progress=False)
    return folder


def planned(checkpoint: Path, **sampling: object) -> np.ndarray:
    """Rows of plans from the same noises, (PLANS, H, D)."""
    policy, rng = load_checkpoint(checkpoint, sampling=sampling), np.random.default_rng(0)
    policy.reset(seed=0)
    seen = [Observation(MonoNs(0), {"state": rng.uniform(-1, 1, (2, 3))}) for _ in range(PLANS)]
    return np.stack([policy.plan(each) for each in seen])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("evaluations", [1, 2])
def test_a_student_plans_at_once_what_its_teacher_plans_in_ten_evaluations(
    taught: Path, tmp_path: Path, evaluations: int
) -> None:
    recipe = student_recipe(evaluations=evaluations)
    train(recipe, ForkSampler(seed=1), tmp_path, teacher=taught, progress=False)
    teacher, student = planned(taught), planned(tmp_path)
    hasty = planned(taught, solver="euler", grid="cubic", evaluations=evaluations)
    side_P = np.sign(teacher[:, 8, 0])
    assert 0.15 < np.mean(side_P > 0) < 0.85, "both ways"
    assert np.mean(np.sign(student[:, 8, 0]) == side_P) > 0.85, "each noise to the same side"
    assert np.abs(student - teacher).mean() < 0.5 * np.abs(hasty - teacher).mean()


def drawing_of(directory: Path) -> tuple[FlowDrawing, Teacher]:
    recipe, fitted, network = load_network(directory)
    drawing = FlowDrawing(
        network.eval(), recipe.policy, joining="overwrite", bounds=fitted.action_bounds
    )
    return drawing, Teacher.load(directory, student_recipe(), device=CPU)


def looked_at(teacher: Teacher, count: int) -> tuple[Tensor, Tensor]:
    size = teacher.statistics.observation.offset.shape[-1]
    feature_BF = torch.randn(count, size, generator=torch.Generator().manual_seed(1))
    return feature_BF, feature_BF.flip(0)


def test_a_teacher_plans_as_on_a_robot(taught: Path) -> None:
    drawing, teacher = drawing_of(taught)
    feature_BF, still_BF = looked_at(teacher, 3)
    noise_BHA = torch.randn(6, *teacher.network.rows, generator=torch.Generator().manual_seed(2))
    start_BHA = TEMPERATURE * noise_BHA
    plan_BHA = teacher.plans((feature_BF, still_BF, {}), start_BHA, None, taken=0)
    generator = torch.Generator().manual_seed(2)
    sampling = teacher_recipe().policy.sampling
    for i in range(6):
        one = slice(i // 2, i // 2 + 1)  # two noises for each observation
        seen = teacher.network.look(feature_BF[one], still_BF[one], {})
        condition = known(teacher.network, seen, sampling)
        alone_1HA = drawing.draw(condition, None, start=0.0, generator=generator)
        torch.testing.assert_close(plan_BHA[i], alone_1HA[0], rtol=1e-4, atol=1e-5)


def test_after_its_first_step_a_student_is_told_the_data_prediction(taught: Path) -> None:
    teacher = Teacher.load(taught, student_recipe(evaluations=2), device=CPU)
    feature_BF, still_BF = looked_at(teacher, 8)
    seen = feature_BF, still_BF, {}
    x_BHA = 0.3 * torch.randn(8, *teacher.network.rows, generator=torch.Generator().manual_seed(2))
    condition = teacher.network.condition(teacher.network.look(*seen))
    velocity_BHA = teacher.network.predict(x_BHA, torch.full((8,), 0.875), condition)
    said_BHA = teacher.plans(seen, x_BHA, None, taken=1)
    torch.testing.assert_close(said_BHA, x_BHA + 0.125 * velocity_BHA)


def test_given_rows_are_kept_and_continued(taught: Path) -> None:
    _, teacher = drawing_of(taught)
    feature_BF, still_BF = looked_at(teacher, 8)
    seen = feature_BF, still_BF, {}
    x_BHA = torch.randn(8, *teacher.network.rows, generator=torch.Generator().manual_seed(2))
    count_B = torch.tensor([0, 0, 0, 0, 4, 4, 4, 4])
    mask_BH1 = (torch.arange(16) < count_B[:, None])[..., None]
    right_BHA = torch.ones_like(x_BHA)  # normalised: the right way
    plan_BHA = teacher.plans(seen, x_BHA, GivenRows(mask_BH1, right_BHA), taken=0)
    free_BHA = teacher.plans(seen, x_BHA, None, taken=0)
    torch.testing.assert_close(plan_BHA[:4], free_BHA[:4])
    assert torch.equal(plan_BHA[4:, :4], right_BHA[4:, :4])
    assert (plan_BHA[4:, 4:, 0] > 0.5).all()
    assert (free_BHA[4:, 4:, 0] < 0.5).any()


@pytest.mark.parametrize("given", [False, True])
def test_a_lesson_begins_where_the_students_own_steps_lead(taught: Path, given: bool) -> None:
    recipe = changed(student_recipe(evaluations=2), sampling={"temperature": COOLER})
    teacher = Teacher.load(taught, recipe, device=CPU)
    student = teacher.statistics.make_network(recipe.policy)  # fresh: no good at all
    feature_BF, still_BF = looked_at(teacher, 8)
    seen = feature_BF, still_BF, {}
    condition = student.condition(student.look(*seen))
    generator = torch.Generator().manual_seed(3)
    noise_BHA = torch.randn(8, *student.rows, generator=generator)
    mask_BH1 = (torch.arange(16) < 3)[None, :, None].expand(8, -1, 1)
    rows = GivenRows(mask_BH1, torch.ones_like(noise_BHA)) if given else None
    chunk = DrawnChunk(torch.zeros_like(noise_BHA), noise_BHA, torch.rand(8), rows)
    start_BHA = COOLER * noise_BHA
    met = set()
    for _ in range(20):
        told = teacher.lesson(chunk, student, condition, seen, generator)
        (t,) = set(told.t_B.tolist())
        met.add(t)
        x_BHA = interpolate(student.path, told.action_BHA, told.noise_BHA, told.t_B)
        expected_BHA = start_BHA
        if t > 0:
            shown = start_BHA if rows is None else rows.in_place(start_BHA)
            velocity_BHA = student.predict(
                shown, torch.zeros(8), condition, given_BH1=mask_BH1 if given else None
            )
            expected_BHA = start_BHA + t * velocity_BHA
        free = slice(3 if given else 0, None)
        torch.testing.assert_close(x_BHA[:, free], expected_BHA[:, free], atol=1e-5, rtol=1e-4)
        plan_BHA = teacher.plans(seen, x_BHA, rows, taken=int(t > 0))
        torch.testing.assert_close(told.action_BHA, plan_BHA, atol=1e-4, rtol=1e-4)
    assert met == {0, 0.875}


def test_a_student_is_taught_in_training_and_in_validation(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = student_recipe()
    teacher = Teacher.load(taught, recipe, device=CPU)
    features = make_features(recipe.policy)
    objective = Objective(recipe, features, teacher.statistics, CPU, teacher=teacher)
    student = teacher.statistics.make_network(recipe.policy)
    teacher.initialize(student)

    def predict(x: Tensor, t_B: Tensor, condition: Condition, **_: Tensor | None) -> Tensor:
        """One step that arrives where the teacher's ten do."""
        seen = objective._numbers(batch)[:2]
        return teacher.plans((*seen, {}), x, None, taken=0) - x

    batch = ForkSampler().sample(0)
    plain = objective.loss(student, batch, draw=(0, 0), augment=False)
    monkeypatch.setattr(student, "predict", predict)
    assert objective.loss(student, batch, draw=(0, 0), augment=False).item() < 1e-6 < plain.item()


def test_a_resumed_student_is_the_uninterrupted_one_and_keeps_its_teacher(
    taught: Path, tmp_path: Path
) -> None:
    recipe = student_recipe(steps=6, warmup_steps=2)
    options = {"teacher": taught, "progress": False}
    whole = train(recipe, ForkSampler(), tmp_path / "whole", **options)
    first = train(recipe, ForkSampler(), tmp_path / "parts", until_step=3, **options)
    rest = train(recipe, ForkSampler(), tmp_path / "parts", resume=True, **options)
    assert first.losses + rest.losses == whole.losses
    assert "by the teacher " in (whole.checkpoint / "card.md").read_text()
    assert (whole.checkpoint / "stats.json").read_text() == (
        taught / "checkpoint" / "stats.json"
    ).read_text()
    export_checkpoint(taught, tmp_path / "other")  # in 16 bits: other weights
    with pytest.raises(FeelforwardError, match="was trained on other data"):
        train(
            recipe,
            ForkSampler(),
            tmp_path / "parts",
            resume=True,
            teacher=tmp_path / "other",
            progress=False,
        )


def test_a_fresh_student_is_its_teacher(taught: Path, tmp_path: Path) -> None:
    recipe = student_recipe(steps=30, warmup_steps=2)
    train(recipe, ForkSampler(), tmp_path, teacher=taught, until_step=0, progress=False)
    (_, _, teacher), (_, _, student) = load_network(taught), load_network(tmp_path)
    for (name, own), theirs in zip(
        student.state_dict().items(), teacher.state_dict().values(), strict=True
    ):
        assert torch.equal(own, theirs), name


def test_what_guidance_made_of_a_plan_is_learnt(tmp_path: Path) -> None:
    recipe = teacher_recipe(
        vectors=({"name": "state", "history": 2},), generative={"null_share": 0.5}
    )
    train(recipe, ForkSampler(), tmp_path / "plain", until_step=40, progress=False)
    guided = {"guidance_weight": 3.0}
    export_checkpoint(tmp_path / "plain", tmp_path / "guided", half=False, sampling=guided)
    plans = []
    for name in ("plain", "guided"):
        teacher = Teacher.load(tmp_path / name, student_recipe(), device=CPU)
        feature_BF, still_BF = looked_at(teacher, 4)
        x_BHA = torch.ones(4, *teacher.network.rows)
        plans.append(teacher.plans((feature_BF, still_BF, {}), x_BHA, None, taken=0))
    assert not torch.allclose(*plans, atol=0.01)
    train(
        student_recipe(),
        ForkSampler(),
        tmp_path / "run",
        teacher=tmp_path / "guided",
        until_step=2,
        progress=False,
    )
    load_checkpoint(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"generative": {"prediction": "data"}}, "policy.generative.prediction is velocity there"),
        ({"network": {"widths": (64, 64)}}, r"policy.network is .*128.* there and .*64"),
        ({"given_rows": 2}, "policy.given_rows is 4 there and 2 here"),
        ({"vectors": ({"name": "state", "history": 1},)}, "sees, has and does what its teacher"),
    ],
)
def test_a_teacher_of_something_else_is_refused(
    taught: Path, tmp_path: Path, change: dict, reason: str
) -> None:
    recipe = changed(student_recipe(), **change)
    with pytest.raises(FeelforwardError, match=reason):
        train(recipe, ForkSampler(), tmp_path, teacher=taught, progress=False)
    assert not any(tmp_path.iterdir())


def test_a_teacher_whose_plans_are_chance_is_refused(taught: Path, tmp_path: Path) -> None:
    export_checkpoint(taught, tmp_path / "sde", sampling={"solver": "sde"})
    with pytest.raises(FeelforwardError, match="drawn by sde, where a student needs one plan"):
        Teacher.load(tmp_path / "sde", student_recipe(), device=CPU)


def test_a_student_needs_a_teacher_and_nobody_else_does(taught: Path, tmp_path: Path) -> None:
    with pytest.raises(FeelforwardError, match="which --teacher names"):
        train(student_recipe(), ForkSampler(), tmp_path, progress=False)
    with pytest.raises(FeelforwardError, match="has no student"):
        train(teacher_recipe(), ForkSampler(), tmp_path, teacher=taught, progress=False)


def test_data_of_another_size_than_the_teachers_are_a_sentence(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ForkSampler.sample

    def wider(self: ForkSampler, step: int, *share: object):
        batch = plain(self, step)
        batch.vectors["state"] = np.zeros((*batch.vectors["state"].shape[:2], 5), np.float32)
        return batch

    monkeypatch.setattr(ForkSampler, "sample", wider)
    with pytest.raises(FeelforwardError, match="state of the data has the size 5"):
        train(student_recipe(), ForkSampler(), tmp_path, teacher=taught, progress=False)


def test_a_student_draws_in_the_way_that_it_has_learnt(taught: Path, tmp_path: Path) -> None:
    recipe = student_recipe(steps=30, warmup_steps=2)
    train(recipe, ForkSampler(), tmp_path, teacher=taught, until_step=1, progress=False)
    load_checkpoint(tmp_path, sampling={"evaluations": 1})
    for sampling in ({"evaluations": 2}, {"temperature": 0.5}):
        with pytest.raises(FeelforwardError, match="has learnt one way of drawing, evaluations"):
            load_checkpoint(tmp_path, sampling=sampling)
