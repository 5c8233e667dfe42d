"""Conversion of LightGBM's trees to an ONNX graph, which ONNX Runtime scores.

Numbers stay float64, as in LightGBM, and trees are added up in the same order, so scores are the same to the
last bit. Thresholds rounded to float32 would send rows that stand at one into another branch.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins.arrays import Float32

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BLOCK = 65_536
"""Rows that are scored at once: bounds the memory of their float64 copy."""

_TREE = re.compile(r"^Tree=\d+\n(.*?)\n\n", re.MULTILINE | re.DOTALL)
_DEFAULT_LEFT, _MISSING_NAN = 2, 8
"""Bits of LightGBM's decision types; without the second one, NaN counts as 0."""
_ZERO = float(np.float32(1e-35))
"""LightGBM takes numbers up to this size for 0."""
_BRANCH_LEQ = 0
"""ONNX: to the true branch where x <= threshold."""


class _Tree(NamedTuple):
    """The inner nodes of one tree, and its leaves' values. A negative child c is the leaf ~c."""

    features: np.ndarray
    thresholds: np.ndarray
    nan_goes_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaves: np.ndarray


def convert(text: str, n_features: int) -> bytes:
    """Convert LightGBM's text to an ONNX model of the trees' sum: x float64[m, f] -> scores float64[m, 1].

    One operator, TreeEnsemble of ai.onnx.ml 5
    (https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html).

    Args:
        text: LightGBM's text form of the trees, as `train` of `trees` returns it.
        n_features: How many columns the trees read: f.

    Returns:
        The serialized model; the same text gives the same bytes.

    Raises:
        ValueError: The trees split on categories, or take zeros for missing values.
    """
    from onnx import TensorProto, helper

    x, scores = (
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, width])
        for name, width in (("x", n_features), ("scores", 1))
    )
    trees = [_tree(match[1]) for match in _TREE.finditer(text)]
    node = helper.make_node("TreeEnsemble", ["x"], ["scores"], domain="ai.onnx.ml", **_attributes(trees))
    model = helper.make_model(
        helper.make_graph([node], "trees", [x], [scores]),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)],
        ir_version=10,
    )
    return bytes(model.SerializeToString(deterministic=True))


def load(model: bytes, n_features: int, source: str) -> InferenceSession:
    """Open a session of one thread.

    Args:
        model: The graph, as `convert` returns it.
        n_features: How many columns the trees read.
        source: The name of the model's file, for the error message.

    Returns:
        A session on the processor, whose only input is x, float64[m, n_features].

    Raises:
        ArtifactError: The graph is damaged, or made for another number of columns.
    """
    # Read when the library is loaded: it would report to its maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    damaged = ArtifactError(
        f"{source} holds no ranking trees for {n_features} columns", fix="train the ranker again"
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no other class in common
        raise damaged from error
    if [each.shape[1:] for each in session.get_inputs()] != [[n_features]]:
        raise damaged
    return session


def score(session: InferenceSession, features: Float32) -> Float32:
    """Return float32[m]: the trees' sum for each row.

    Args:
        session: A session that `load` opened, for f columns.
        features: float32[m, f], NaN where a value is missing; converted to float64 in blocks of 65,536 rows.
    """
    scores = np.empty(len(features), np.float32)
    for start in range(0, len(features), BLOCK):
        rows = features[start : start + BLOCK].astype(np.float64)
        scores[start : start + BLOCK] = session.run(["scores"], {"x": rows})[0][:, 0]
    return scores


def _attributes(trees: list[_Tree]) -> dict[str, Any]:
    """Return the operator's attributes: nodes and leaves of all trees, one tree after the other."""
    from onnx import numpy_helper

    first_node = np.cumsum([0, *(len(tree.features) for tree in trees)])
    first_leaf = np.cumsum([0, *(len(tree.leaves) for tree in trees)])
    whole = _Tree(*(np.concatenate(parts) for parts in zip(*trees, strict=True)))
    nodes = np.diff(first_node)
    children: dict[str, list[int]] = {}
    for branch, child in (("true", whole.left), ("false", whole.right)):
        leaf = child < 0
        place = np.where(leaf, ~child + first_leaf[:-1].repeat(nodes), child + first_node[:-1].repeat(nodes))
        children |= {
            f"nodes_{branch}nodeids": place.tolist(),
            f"nodes_{branch}leafs": leaf.astype(int).tolist(),
        }
    return children | {
        "tree_roots": first_node[:-1].tolist(),
        "nodes_featureids": whole.features.tolist(),
        "nodes_splits": numpy_helper.from_array(whole.thresholds),
        "nodes_modes": numpy_helper.from_array(np.full(len(whole.features), _BRANCH_LEQ, np.uint8)),
        "nodes_missing_value_tracks_true": whole.nan_goes_left.astype(int).tolist(),
        "leaf_weights": numpy_helper.from_array(whole.leaves),
        "leaf_targetids": [0] * len(whole.leaves),
        "n_targets": 1,
    }


def _tree(part: str) -> _Tree:
    """Parse one tree's part of LightGBM's text."""
    lines = dict(line.split("=", 1) for line in part.splitlines())
    leaves = np.array(lines["leaf_value"].split(), np.float64)
    if len(leaves) == 1:  # nothing to split on, but ONNX knows no tree without a node
        feature, threshold, nan, left, right = (np.array([value]) for value in (0, 0.0, True, ~0, ~1))
        return _Tree(feature, threshold, nan, left, right, leaves.repeat(2))
    features, kinds, left, right = (
        np.array(lines[name].split(), np.int64)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    thresholds = _around_zero(np.array(lines["threshold"].split(), np.float64))
    if np.any(kinds & ~(_DEFAULT_LEFT | _MISSING_NAN)):
        raise ValueError("trees with categories, or with zeros for missing values, can't be converted")
    nan_goes_left = np.where(kinds & _MISSING_NAN, kinds & _DEFAULT_LEFT, thresholds >= 0) != 0
    return _Tree(features, thresholds, nan_goes_left, left, right, leaves)


def _around_zero(thresholds: np.ndarray) -> np.ndarray:
    """Return thresholds t' such that x <= t' where LightGBM, which takes |x| <= _ZERO for 0, finds x <= t."""
    nearest = np.where(thresholds < 0, np.nextafter(-_ZERO, -np.inf), _ZERO)
    return np.where(np.abs(thresholds) <= _ZERO, nearest, thresholds)
