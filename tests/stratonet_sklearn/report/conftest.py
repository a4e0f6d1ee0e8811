"""What the tests of sections share."""

import joblib
import numpy as np
import pandas as pd
import pytest
from drawings import LONG_NAMES
from sklearn.ensemble import RandomForestClassifier

from stratonet_sklearn import evaluate
from stratonet_sklearn.evaluation.classification import CLASSIFIERS


@pytest.fixture(scope="session", params=["small", "large"])
def evaluation(request):
    """3 classes by 2 feature tables, and 20 classes by 6, with long names."""
    classes, sets = {
        "small": (["DMSO", "$5", "taxol"], ["a", "b"]),
        "large": (range(20), LONG_NAMES),
    }[request.param]
    classes = [
        f"inhibitor of the polymerization of {one}" if request.param == "large" else one
        for one in classes
    ]
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(len(classes)), 4 + 2 * (np.arange(len(classes)) % 3))
    labels = np.array(classes)[numbers]
    names = [
        f"Cells_Texture_InverseDifferenceMoment_CorrDNA_{number}_00_256"
        for number in range(12)
    ]
    features = {
        one: pd.DataFrame(
            (number + 1) * np.eye(len(classes), 12)[numbers]
            + rng.normal(size=(len(labels), 12))
        )
        for number, one in enumerate(sets)
    }
    features = {one: frame.set_axis(names, axis=1) for one, frame in features.items()}
    # Neither processes nor 200 trees: these are drawn, and need not be good.
    with joblib.parallel_config("sequential"), pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIERS, "RF", RandomForestClassifier(10, random_state=0))
        options = {"small": {}, "large": {"classifiers": ["SVM", "RF"]}}[request.param]
        return evaluate(
            features, labels, groups=np.arange(len(labels)), n_folds=3, **options
        )
