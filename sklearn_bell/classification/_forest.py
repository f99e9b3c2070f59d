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

    The nodes of all trees follow one another. Records whose `feature` is at most the `threshold`
    pass to the node after it, others to `child`. In a leaf, `feature` is -1, and `child` is its row
    of `values`, probabilities in steps of 1/255. `seen` are the outputs that could be learnt: the
    others have probability zero.
    """

    def __init__(self, roots, feature, threshold, child, values, seen, n_features):
        self.roots, self.feature, self.threshold = roots, feature, threshold
        self.child, self.values = child, values
        self.seen, self.n_features = seen, n_features

    @classmethod
    def fit(cls, X, codes, weights, n_trees, seed):
        """Fit to codes and weights, which are those of ``fit_linear_head``."""
        sample_weight = weights[codes] if codes.ndim == 1 else _row_weights(codes, weights)
        forest = ExtraTreesClassifier(
            n_trees,
            max_features="sqrt" if len(X) < _N_MANY else _MAX_FEATURES,
            min_samples_leaf=_SMALLEST_LEAF,
            random_state=seed,
        ).fit(X, codes, sample_weight)
        trees = [estimator.tree_ for estimator in forest.estimators_]
        counts = np.array([tree.node_count for tree in trees])
        roots = np.cumsum(counts) - counts
        feature = np.concatenate([tree.feature for tree in trees])
        is_leaf = feature < 0
        child = np.concatenate([tree.children_right for tree in trees]) + np.repeat(roots, counts)
        child[is_leaf] = np.arange(is_leaf.sum())
        values = np.concatenate([tree.value for tree in trees])[is_leaf]
        return cls(
            roots.astype(np.int32),
            np.where(is_leaf, -1, feature).astype(np.min_scalar_type(-X.shape[1])),
            np.concatenate([tree.threshold for tree in trees]).astype(np.float32),
            child.astype(np.int32),
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
        n_pairs = len(X) * len(self.roots)  # of a record and a tree
        pair, leaf = np.arange(n_pairs), np.empty(n_pairs, np.int32)
        node, first = np.tile(self.roots, len(X)), pair // len(self.roots) * X.shape[1]
        flat_X = X.ravel()
        while len(node):
            feature = self.feature[node]
            inside = feature >= 0
            leaf[pair[~inside]] = node[~inside]
            pair, node, first = pair[inside], node[inside], first[inside]
            is_left = flat_X[first + feature[inside]] <= self.threshold[node]
            node = np.where(is_left, node + 1, self.child[node])
        values = self.values[self.child[leaf]].reshape(len(X), len(self.roots), -1)
        return values.mean(axis=1, dtype=np.float64) / 255

    def get_state(self):
        """Return the arrays."""
        return vars(self)

    @classmethod
    def from_state(cls, state, n_outputs):
        """Return a forest, or raise InvalidFileError if a path through it does not end."""
        forest = cls(**state)
        n_nodes, inside = len(forest.feature), forest.feature >= 0
        positions = np.arange(n_nodes)
        is_valid = (
            forest.values.shape[1:] == forest.seen.shape == (n_outputs,)
            and len(forest.roots) > 0
            and len(forest.threshold) == len(forest.child) == n_nodes
            and not inside[-1:].any()
            and (forest.child >= np.where(inside, positions + 1, 0)).all()
            and (forest.child < np.where(inside, n_nodes, len(forest.values))).all()
            and ((forest.roots >= 0) & (forest.roots < n_nodes)).all()
            and ((forest.feature >= -1) & (forest.feature < forest.n_features)).all()
        )
        if not is_valid:
            raise InvalidFileError("its forest has invalid nodes")
        return forest


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
