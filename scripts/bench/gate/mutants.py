"""What `feelforward bench mutants` does: it breaks the gate on purpose; does a test notice?

One mutant is one small change of one file, made on its syntax tree:

    check off       if c: ...   →   if False: ...     also in `and`, `or`, `x if c else y`
    flip            <  →  >=,   ==  →  !=,   is  →  is not, in → not in
    clamp off       min → max,  max → min
    limit x 10      limits.max_speed_m_per_s  →  ten times it, for each use of a limit or a constant
    no return       an early `return` or `raise` goes

Each runs the target's own tests up to the first failure or a time limit: then it is killed
(`mutant_trial`). Mutants that mean the same as the original stand in the config with a reason.
cosmic-ray and mutmut know neither limits nor early returns; the rest is little beside those.
"""

import ast
import copy
import multiprocessing
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from robot_io.errors import FeelforwardError
from scripts.bench.gate.mutant_trial import try_mutants
from scripts.checkpoints import REPOSITORY

CONFIG = Path(__file__).with_suffix(".toml")
TEN = "_ten_times"
TEN_SOURCE = f"""
def {TEN}(limit):
    if isinstance(limit, (int, float)):
        return limit * 10
    if isinstance(limit, tuple):
        return tuple({TEN}(each) for each in limit)
    return limit
"""
FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_SPAWN = multiprocessing.get_context("spawn")
OWN_LIMITS = {"_max_age_ns", "_seam_ns", "_replan_after_rows", "leash", "period_s", "max_share"}
UNITS = ("_m", "_rad", "_s", "_n", "_nm", "_s2", "_s3", "_per_rad", "speed", "accel", "jerk")
CLAMPS = {"min": "max", "max": "min"}


@dataclass(frozen=True, slots=True)
class Target:
    """One file that is broken, and the tests that must notice."""

    file: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. `before` and `after` name it, together with the place."""

    file: str
    place: str  # class and function
    operator: str
    before: str
    after: str
    line: int
    source: str  # of the whole changed file

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return self.file, self.place, self.operator, self.before, self.after

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line} {self.place}: {self.operator}: {self.before} → {self.after}"
        )


@dataclass(frozen=True, slots=True)
class Config:
    targets: tuple[Target, ...]
    equivalent: dict[tuple[str, str, str, str, str], str]  # key of a mutant → why

    @classmethod
    def read(cls, path: Path = CONFIG) -> "Config":
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        targets = [Target(each["file"], tuple(each["tests"])) for each in content["target"]]
        keys = ("file", "place", "operator", "before", "after")
        same = {
            tuple(each[key] for key in keys): each["reason"]
            for each in content.get("equivalent", [])
        }
        return cls(tuple(targets), same)


@dataclass(frozen=True, slots=True)
class Outcome:
    mutant: Mutant
    fate: str  # "killed", "survived", "timed out", "equivalent"


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines; no two of the same text."""
    tree = ast.parse(source)
    found: dict[str, Mutant] = {ast.unparse(tree): Mutant(file, "", "", "", "", 0, source)}
    uses: Counter[tuple[str, ...]] = Counter()
    for place, node, operator, change in _changes(tree):
        changed_tree, changed = _copied(tree, node)
        before = _text(node)
        replacement = change(changed)
        _replace(changed_tree, changed, replacement)
        text = ast.unparse(ast.fix_missing_locations(changed_tree))
        after = _text(replacement) if replacement is not None else "nothing"
        if TEN in after:
            text += TEN_SOURCE
        uses[place, operator, before, after] += 1
        if (use := uses[place, operator, before, after]) > 1:
            before = f"{before} (use {use})"
        line = getattr(node, "lineno", 0)
        found.setdefault(text, Mutant(file, place, operator, before, after, line, text))
    return sorted(list(found.values())[1:], key=lambda mutant: mutant.line)


Change = Callable[[ast.AST], ast.AST | None]


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.AST, str, Change]]:
    """(place, node, operator, what makes the new node of a copy of it)."""
    constants = {
        target.id
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    for place, node in _inside_functions(tree):
        if isinstance(node, ast.If | ast.IfExp):
            yield place, node.test, "check off", lambda test: ast.Constant(False)
        if isinstance(node, ast.If):
            for statement in node.body:
                if isinstance(statement, ast.Return | ast.Raise):
                    yield place, statement, "no return", lambda statement: ast.Pass()
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                neutral = isinstance(node.op, ast.And)
                yield place, value, "check off", lambda value, n=neutral: ast.Constant(n)
        if isinstance(node, ast.Compare):
            yield from _comparisons(place, node)
        if _is_clamp(node):
            yield place, node, "clamp off", _other_clamp
        if _is_limit(node, constants):
            yield place, node, "limit x 10", _ten_times


def _inside_functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    def visit(node: ast.AST, place: tuple[str, ...], inside: bool) -> Iterator[tuple[str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.ClassDef)
            here = (*place, child.name) if named else place
            within = inside or isinstance(child, ast.FunctionDef)
            if inside:
                yield ".".join(here), child
            yield from visit(child, here, within)

    yield from visit(tree, (), False)


def _comparisons(place: str, node: ast.Compare) -> Iterator[tuple[str, ast.AST, str, Change]]:
    for index, operator in enumerate(node.ops):
        other = FLIPS[type(operator)]
        yield place, node, "flip", lambda node, i=index, o=other: _with_operator(node, i, o)


def _with_operator(node: ast.AST, index: int, operator: type[ast.cmpop]) -> ast.AST:
    assert isinstance(node, ast.Compare)
    ops = [operator() if i == index else each for i, each in enumerate(node.ops)]
    return ast.Compare(node.left, ops, node.comparators)


def _is_clamp(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    return node.func.id in CLAMPS and len(node.args) > 1


def _other_clamp(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return ast.Call(ast.Name(CLAMPS[node.func.id], ast.Load()), node.args, node.keywords)


def _is_limit(node: ast.AST, constants: set[str]) -> bool:
    """A number of the config as a method or an object knows it, or a constant of the module."""
    if isinstance(node, ast.Name):
        return isinstance(node.ctx, ast.Load) and node.id in constants
    if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)):
        return False
    owner = node.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    of_a_config = name.endswith(("limits", "bounds", "touch")) and node.attr.endswith(UNITS)
    return of_a_config or (node.attr in OWN_LIMITS and name != "codes")  # which are reasons


def _ten_times(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.expr)
    return ast.Call(ast.Name(TEN, ast.Load()), [node], [])


def _copied(tree: ast.Module, node: ast.AST) -> tuple[ast.Module, ast.AST]:
    """A copy of the tree, and the node in it that stands for `node`."""
    index = next(i for i, each in enumerate(ast.walk(tree)) if each is node)
    changed_tree = copy.deepcopy(tree)
    return changed_tree, next(each for i, each in enumerate(ast.walk(changed_tree)) if i == index)


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST | None) -> None:
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if value is old and new is not None:
                setattr(node, field, new)
                return
            if isinstance(value, list) and any(each is old for each in value):
                value[:] = [new if each is old else each for each in value]
                return
    raise AssertionError("the node is in the tree")


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 120 else text[:117] + "..."


def run(
    config: Config,
    *,
    workers: int,
    only: str = "",
    known: Mapping[tuple[str, str, str, str, str], str] | None = None,
) -> Iterator[Outcome]:
    """The fate of each mutant, in no particular order. Raises when the tests fail without one.

    `known` fates, by the keys of the mutants, are not tried again.
    """
    fates = known if known is not None else {}
    by_tests: dict[tuple[str, ...], list[Mutant]] = {}
    for target in config.targets:
        if only not in target.file:
            continue
        source = (REPOSITORY / target.file).read_text(encoding="utf-8")
        for mutant in mutants_of(target.file, source):
            if mutant.key in config.equivalent:
                yield Outcome(mutant, "equivalent")
            elif mutant.key in fates:
                yield Outcome(mutant, fates[mutant.key])
            else:
                by_tests.setdefault(target.tests, []).append(mutant)
    for tests, mutants in by_tests.items():
        told: SimpleQueue[Outcome | FeelforwardError] = SimpleQueue()
        with ThreadPoolExecutor(workers) as pool:
            for first in range(workers):
                pool.submit(_try_all, tests, mutants[first::workers], told)
            for _ in mutants:
                outcome = told.get()
                if isinstance(outcome, FeelforwardError):
                    raise outcome
                yield outcome


def _try_all(
    tests: tuple[str, ...],
    mutants: list[Mutant],
    told: "SimpleQueue[Outcome | FeelforwardError]",
) -> None:
    try:
        for outcome in _try(tests, mutants):
            told.put(outcome)
    except FeelforwardError as error:
        told.put(error)
    except EOFError:
        told.put(FeelforwardError("The process that tries mutants died. Try fewer --workers."))


def _try(tests: tuple[str, ...], mutants: list[Mutant]) -> Iterator[Outcome]:
    """Their fates, from a process of their own."""
    listener, teller = _SPAWN.Pipe(duplex=False)
    told = [(mutant.file, mutant.source) for mutant in mutants]
    trial = _SPAWN.Process(target=try_mutants, args=(str(REPOSITORY), tests, told, teller))
    trial.start()
    teller.close()
    try:
        for mutant in mutants:
            fate = listener.recv()
            if fate is None:
                raise FeelforwardError(
                    f"The tests of {mutant.file} fail on the unchanged file: repair them first."
                )
            yield Outcome(mutant, fate)
        trial.join()
    finally:
        trial.terminate()
