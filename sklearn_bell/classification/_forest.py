"""Forest of extremely randomised trees as plain arrays, which a file can hold."""

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils import gen_batches

from sklearn_bell.exceptions import InvalidFileError

# of the labelled records: it bounds the size of a forest, and has no effect below 2,000 records
_SMALLEST_LEAF = 1 / 2000
# few records profit from trees that differ, many from better splits (PTB-XL folds 1-7)
_N_MANY, _MAX_FEATURES = 1000, 0.2
_ROWS_AT_ONCE = 64


class Forest:
    """Class probabilities of records by extra trees (Geurts et al., Machine Learning 2006).

    The nodes of all trees follow one another, depth first: a node, its left branch, then its right
    one. A leaf has `feature` -1 and a row of `values`, probabilities in steps of 1/255. Any other
    node has a `threshold`: records whose `feature` is at most that go left. `seen` are the outputs
    that could be learnt: the others have probability zero.
    """

    def __init__(self, feature, threshold, values, seen, n_features):
        self.feature, self.threshold, self.values = feature, threshold, values
        self.seen, self.n_features = seen, n_features
        inside = feature >= 0
        self._thresholds = np.zeros(len(feature), np.float32)
        self._thresholds[inside] = threshold
        self._roots, self._next = _find_next(inside)

    @classmethod
    def fit(cls, X, codes, weights, n_trees, seed, record_weight=None):
        """Fit to codes and weights, which are those of ``fit_linear_head``."""
        sample_weight = weights[codes] if codes.ndim == 1 else _row_weights(codes, weights)
        if record_weight is not None:
            sample_weight = sample_weight * record_weight
        forest = ExtraTreesClassifier(
            n_trees,
            max_features="sqrt" if len(X) < _N_MANY else _MAX_FEATURES,
            min_samples_leaf=_SMALLEST_LEAF,
            random_state=seed,
        ).fit(X, codes, sample_weight)
        trees = [estimator.tree_ for estimator in forest.estimators_]
        feature = np.concatenate([tree.feature for tree in trees])
        is_leaf = feature < 0
        values = np.concatenate([tree.value for tree in trees])[is_leaf]
        return cls(
            np.where(is_leaf, -1, feature).astype(np.min_scalar_type(-X.shape[1])),
            np.concatenate([tree.threshold for tree in trees])[~is_leaf].astype(np.float32),
            np.round(255 * _outputs(values, forest.classes_, codes, weights)).astype(np.uint8),
            _seen(codes, weights),
            X.shape[1],
        )

    def predict_proba(self, X):
        """Return probabilities ``(n_records, n_outputs)`` of features ``(n_records, n_features)``.

        They are zero for outputs that were not seen.
        """
        X = np.asarray(X, np.float32)
        batches = [self._predict(X[rows]) for rows in gen_batches(len(X), _ROWS_AT_ONCE)]
        return np.concatenate(batches)

    def _predict(self, X):
        n_pairs = len(X) * len(self._roots)  # of a record and a tree
        pair, leaf = np.arange(n_pairs), np.empty(n_pairs, np.int32)
        node, first = np.tile(self._roots, len(X)), pair // len(self._roots) * X.shape[1]
        flat_X = X.ravel()
        while len(node):
            feature = self.feature[node]
            inside = feature >= 0
            leaf[pair[~inside]] = node[~inside]
            pair, node, first = pair[inside], node[inside], first[inside]
            is_left = flat_X[first + feature[inside]] <= self._thresholds[node]
            node = np.where(is_left, node + 1, self._next[node])
        values = self.values[self._next[leaf]].reshape(len(X), len(self._roots), -1)
        return values.mean(axis=1, dtype=np.float64) / 255

    def get_state(self):
        """Return the arrays that a file needs; the others follow from these."""
        names = "feature", "threshold", "values", "seen", "n_features"
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state, n_outputs):
        """Return a forest, or raise InvalidFileError if its nodes are not whole trees."""
        feature, inside = state["feature"], state["feature"] >= 0
        open_ends = np.cumsum(np.where(inside, 1, -1))
        is_valid = (
            len(feature) > 0
            and open_ends[-1] < open_ends[:-1].min(initial=0)
            and len(state["threshold"]) == inside.sum()
            and len(state["values"]) == (~inside).sum()
            and state["values"].shape[1:] == state["seen"].shape == (n_outputs,)
            and ((feature >= -1) & (feature < state["n_features"])).all()
        )
        if not is_valid:
            raise InvalidFileError("its forest has invalid nodes")
        return cls(**state)


def _find_next(inside):
    """Return the roots, and for each node its right child, or for a leaf its number.

    An inner node opens two branches and ends one, a leaf ends one. So the left branch of a node is
    complete at the first leaf with as many open branches as before the node.
    """
    position, n_open = np.arange(len(inside)), np.cumsum(np.where(inside, 1, -1))
    order = np.lexsort((position, n_open))
    n_nodes, lowest = len(inside), n_open.min()
    keys = (n_open[order] - lowest) * n_nodes + position[order]
    end_keys = (n_open[inside] - 1 - lowest) * n_nodes + position[inside]
    following = np.cumsum(~inside) - 1
    following[inside] = order[np.searchsorted(keys, end_keys)] + 1
    is_last = n_open < np.minimum.accumulate(np.append(0, n_open[:-1]))
    roots = np.append(0, 1 + np.flatnonzero(is_last)[:-1])
    return roots.astype(np.int32), following.astype(np.int32)


def _row_weights(codes, weights):
    """Return the mean weight of the labels of each record, given those of absence and presence."""
    absence, presence = weights
    return np.where(codes == 1, presence, absence).mean(axis=1)


def _seen(codes, weights):
    """Return the classes with records, or the labels that are present in some records only."""
    if codes.ndim == 1:
        return np.isin(np.arange(len(weights)), codes)
    return codes.any(axis=0) & ~codes.all(axis=0)


def _outputs(values, classes, codes, weights):
    """Return probabilities ``(n_leaves, n_outputs)`` of scikit-learn's values of leaves."""
    if codes.ndim == 1:
        outputs = np.zeros((len(values), len(weights)))
        outputs[:, classes] = values[:, 0]
        return outputs
    presence = [v[:, list(c).index(1)] if 1 in c else 0 * v[:, 0]
                for v, c in zip(values.swapaxes(0, 1), classes, strict=True)]  # fmt: skip
    return np.stack(presence, axis=1)
