"""Score formulas, evaluated over numpy columns. Pure: formulas and numbers in, numbers out."""

import ast
import difflib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import simpleeval

from harness.errors import ChallengeError

Array = npt.NDArray[np.float64]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": lambda *values: functools.reduce(np.minimum, values),
    "max": lambda *values: functools.reduce(np.maximum, values),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}
_SYNTAX = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant, ast.Load, *OPERATORS)
_MAX_CHARACTERS = 1000
_MAX_NODES = 200  # keeps the recursion of the evaluator shallow


def evaluate_scores(formulas: Mapping[str, str], columns: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """Each formula's value for each row of `columns`, for example for each bootstrap sample.

    formulas: score name -> expression of + - * / **, numbers, min, max, exp, log, sqrt, abs and column names.
    columns: name -> (N,) array or one number; all finite. Units are the formulas' own.
    Returns name -> float64 array of the columns' common shape.
    Raises ChallengeError: a bad formula, an unknown name, a column that is not finite, and a division by zero, an
    overflow or the log or root of a negative number anywhere, since min(1/0, 4) would hide it.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    for name, array in arrays.items():
        _check_finite(name, array)
    shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    return {
        score: np.broadcast_to(_evaluate(score, formula, arrays), shape).copy() for score, formula in formulas.items()
    }


def check_formula(score: str, formula: str, known_names: Collection[str]) -> None:
    """Raises ChallengeError if `formula` is not arithmetic on `known_names` alone."""
    tree = _parse(score, formula)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _check_call(score, node)
        elif isinstance(node, ast.Name) and id(node) not in called:
            _check_name(score, node.id, known_names, "name")
        elif not isinstance(node, _SYNTAX) or (isinstance(node, ast.Constant) and type(node.value) not in (int, float)):
            raise ChallengeError(
                f"score {score}: {type(node).__name__} is not allowed in a formula; "
                f"use numbers, names, + - * / ** and {', '.join(FUNCTIONS)}"
            )


@functools.lru_cache
def list_names(formula: str) -> frozenset[str]:
    """The column names that a formula, already checked, refers to."""
    tree = ast.parse(formula.strip(), mode="eval")
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) - FUNCTIONS.keys()


def split_terms(formula: str) -> tuple[str, ...]:
    """The terms that a formula, already checked, adds up, as formulas: a - 2*(b - 1) gives a and -(2 * (b - 1))."""
    return tuple(ast.unparse(term) for term in _list_terms(ast.parse(formula.strip(), mode="eval").body))


def suggest_name(name: str, known_names: Collection[str]) -> str:
    """' (did you mean X?)' where a known name is close, else nothing; for the end of an error message."""
    close = difflib.get_close_matches(name, sorted(known_names), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _list_terms(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield from _list_terms(node.left)
        negative = isinstance(node.op, ast.Sub)
        yield from (ast.UnaryOp(ast.USub(), term) if negative else term for term in _list_terms(node.right))
    else:
        yield node


def _parse(score: str, formula: str) -> ast.Expression:
    if len(formula) > _MAX_CHARACTERS:
        raise ChallengeError(f"score {score}: the formula is longer than {_MAX_CHARACTERS} characters; shorten it")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = getattr(error, "msg", None) or error
        raise ChallengeError(f"score {score}: '{formula}' is not a formula: {reason}") from None
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ChallengeError(f"score {score}: the formula has more than {_MAX_NODES} parts; shorten it")
    return tree


def _check_name(score: str, name: str, known_names: Collection[str], kind: str) -> None:
    if name not in known_names:
        raise ChallengeError(
            f"score {score}: unknown {kind} '{name}'{suggest_name(name, known_names)}; "
            f"known {kind}s: {', '.join(sorted(known_names))}"
        )


def _check_call(score: str, call: ast.Call) -> None:
    if not isinstance(call.func, ast.Name):
        raise ChallengeError(f"score {score}: only a plain function can be called, one of {', '.join(FUNCTIONS)}")
    name = call.func.id
    _check_name(score, name, FUNCTIONS, "function")
    several = name in ("min", "max")
    if call.keywords or (len(call.args) < 2 if several else len(call.args) != 1):
        raise ChallengeError(f"score {score}: {name}() takes {'two or more values' if several else 'one value'}")


def _check_finite(name: str, array: Array) -> None:
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array.ravel()))[0])
        raise ChallengeError(f"column '{name}': row {row + 1} is {array.ravel()[row]}; scores need finite numbers")


_check_once = functools.lru_cache(check_formula)  # a board evaluates the same formulas for every row


def _evaluate(score: str, formula: str, arrays: Mapping[str, Array]) -> Array:
    _check_once(score, formula, frozenset(arrays))
    evaluator = simpleeval.SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=dict(arrays))
    # Python integers would make 9**9**9 endless; float64 overflows, which is caught.
    evaluator.nodes[ast.Constant] = lambda node: np.float64(node.value)
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            return np.asarray(evaluator.eval(formula), dtype=np.float64)
    except (FloatingPointError, OverflowError) as error:
        raise ChallengeError(f"score {score}: '{formula}' has no finite value for these numbers: {error}") from None
