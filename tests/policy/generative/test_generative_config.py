"""Recipes of generative methods that mean nothing are refused, each with its reason."""

import itertools
from typing import get_args

import pydantic
import pytest

from policy.config import PolicyConfig
from policy.generative.config import PathName, SolverName

STATE = {"action": "vector", "vectors": [{"name": "state"}]}
LEVELS = {"path": "ddpm", "prediction": "noise", "times": "levels"}


def policy(generative: dict | None = None, sampling: dict | None = None, **more) -> PolicyConfig:
    tables = {"generative": generative or {}, "sampling": sampling or {}}
    return PolicyConfig.model_validate({**STATE, **tables, **more})


@pytest.mark.parametrize(
    ("generative", "sampling", "reason"),
    [
        ({"path": "variance_exploding"}, {}, "predict data, noise or score"),
        ({"path": "cond_ot", "times": "levels"}, {}, 'needs the levels of path = "ddpm"'),
        ({"distilled": True, "prediction": "noise"}, {}, "needs cond_ot and velocity or data"),
        ({"distilled": True, "path": "polynomial"}, {}, "got polynomial and velocity"),
        ({"distilled": True}, {}, "goes straight: solver"),
        (
            {"distilled": True},
            {"solver": "euler", "evaluations": 2, "warm_start": 1.0},
            "pure noise: warm_start 0",
        ),
        ({"distilled": True, "null_share": 0.1}, {"solver": "euler"}, "null_share must be 0"),
        ({"distilled": True, "weight": "data"}, {"solver": "euler"}, "drop weight and times"),
        ({"head": "mse", "path": "ddpm"}, {}, "takes no other key"),
        ({"head": "gmm", "null_share": 0.1}, {}, "takes no other key"),
        ({"head": "mse"}, {"warm_start": 1.0}, "warm_start must be 0"),
        ({"head": "gmm"}, {"temperature": 0.5}, "temperature 1"),
        ({}, {"guidance_weight": 2.0}, "trained with generative.null_share > 0"),
        ({}, {"guidance_interval": [0.8, 0.2]}, "allowed: from < to"),
        ({}, {"guidance_interval": [0.2, 1.2]}, "less than or equal to 1"),
        ({}, {"grid": "trailing"}, 'needs the levels of path = "ddpm"'),
        ({"path": "ddpm"}, {"grid": "leading", "solver": "ddim", "evaluations": 101}, "100 levels"),
        (LEVELS, {}, "learns numbered levels only"),
        (LEVELS, {"solver": "ddim"}, "learns numbered levels only"),
        (LEVELS, {"solver": "heun", "grid": "leading"}, "learns numbered levels only"),
        ({}, {"solver": "sde_heun", "evaluations": 5}, "sde_heun takes 2 evaluations per step"),
        ({}, {"solver": "rk4", "evaluations": 8}, "3 in the last, got 8"),
        ({}, {"solver": "adaptive", "grid": "karras"}, "chooses its own steps"),
        ({}, {"grid": "karras", "warm_start": 1.0}, "a karras grid at a time of its own"),
        ({}, {"solver": "dopri5"}, "Input should be 'euler'"),
        ({}, {"sigma": float("nan")}, "finite number"),
    ],
)
def test_a_method_that_means_nothing_is_refused(
    generative: dict, sampling: dict, reason: str
) -> None:
    with pytest.raises(pydantic.ValidationError, match=reason):
        policy(generative, sampling)


def test_a_regression_is_given_no_rows() -> None:
    with pytest.raises(pydantic.ValidationError, match="given_rows must be 0"):
        policy({"head": "mse"}, given_rows=3)


def test_every_solver_goes_with_every_path() -> None:
    for path, solver in itertools.product(get_args(PathName), get_args(SolverName)):
        evaluations = 7 if solver == "rk4" else 8
        policy({"path": path, "prediction": "data"}, {"solver": solver, "evaluations": evaluations})


def test_without_a_word_it_is_what_it_was() -> None:
    plain = policy()
    method = (plain.generative.path, plain.generative.prediction, plain.generative.times)
    assert method == ("cond_ot", "velocity", "uniform")
    assert (plain.sampling.solver, plain.sampling.evaluations) == ("midpoint", 10)
