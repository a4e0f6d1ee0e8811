import numpy as np
import pytest
from sklearn.base import clone
from sklearn.svm import SVC

from stratonet_sklearn.evaluation.linear_svm import LinearSVM


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_as_that_of_scikit_learn(rng, n_classes, class_weight):
    labels = rng.integers(n_classes, size=120).astype(str)
    values = rng.normal(size=(120, 300)).astype(np.float32)
    values[:, :n_classes] += 2 * np.eye(n_classes)[labels.astype(int)]
    ours = LinearSVM(C=0.01, class_weight=class_weight, random_state=0)
    theirs = SVC(kernel="linear", C=0.01, class_weight=class_weight, random_state=0)
    tested = rng.normal(size=(500, 300)).astype(np.float32)
    for model in (ours, theirs):
        model.fit(values[:80], labels[:80])
    np.testing.assert_array_equal(ours.predict(tested), theirs.predict(tested))
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    assert ours.coef_.shape == (n_classes * (n_classes - 1) // 2, 300)


def test_clone_keeps_the_settings():
    copy = clone(LinearSVM(C=0.5)).set_params(class_weight="balanced")
    assert copy.get_params() == {
        "C": 0.5,
        "class_weight": "balanced",
        "random_state": None,
    }
