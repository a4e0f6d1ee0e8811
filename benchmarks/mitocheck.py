"""MitoCheck, 16 phenotypes of single nuclei: RBF SVM on StratoNet features, 5 folds by plate, balanced accuracy.

python benchmarks/mitocheck.py DATA/mitocheck
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.svm import SVC

from stratonet_sklearn import StratoFeatureTransformer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with labels.csv: file, phenotype, plate")
    folder = parser.parse_args().folder
    labels = pd.read_csv(folder / "labels.csv")
    images = pd.DataFrame({"H2B": [str(folder / name) for name in labels.file]})
    # The transformer learns nothing from images, so that it may see all of them before they are split.
    features = StratoFeatureTransformer(verbose=True).fit_transform(images)
    found = cross_val_predict(
        SVC(C=10, class_weight="balanced"), features, labels.phenotype, groups=labels.plate, cv=GroupKFold(5)
    )
    print(f"{len(labels)} nuclei, {labels.phenotype.nunique()} phenotypes, {labels.plate.nunique()} plates")
    print(f"balanced accuracy {balanced_accuracy_score(labels.phenotype, found):.3f}")


if __name__ == "__main__":
    main()
