"""Linear scikit-learn classifiers on flattened pixels in [0, 1].

The functions have the same arguments as those that build networks: input shape, number of classes and
options. scikit-learn infers the first two when it fits.
"""

from typing import Any

from edge_fm.models.settings import Options
from edge_fm_runtime.errors import ExportError

Estimator = Any
"""A scikit-learn classifier; scikit-learn ships no types."""

Shape = tuple[int, int, int]


def import_sklearn() -> Any:  # noqa: ANN401  # scikit-learn ships no types
    """Return the `sklearn` module.

    Raises:
        ExportError: the train extra is not installed.
    """
    try:
        import sklearn
        import sklearn.linear_model
        import sklearn.multiclass
        import sklearn.pipeline
        import sklearn.preprocessing
    except ImportError:
        raise ExportError("scikit-learn is not installed: run pip install 'edge-fm[train]'") from None
    return sklearn


def logistic_regression(shape: Shape, classes: int, options: Options) -> Estimator:
    """Return multinomial logistic regression, fitted by L-BFGS."""
    return import_sklearn().linear_model.LogisticRegression(C=options["C"], max_iter=int(options["max_iter"]))


def standardised_sgd(shape: Shape, classes: int, options: Options) -> Estimator:
    """Return logistic regression by stochastic gradient descent on standardised pixels."""
    sklearn = import_sklearn()
    return sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), _sgd(options, n_jobs=-1))


def sgd(shape: Shape, classes: int, options: Options) -> Estimator:
    """Return logistic regression by stochastic gradient descent."""
    return _sgd(options, max_iter=int(options["max_iter"]), n_jobs=-1)


def one_versus_rest(shape: Shape, classes: int, options: Options) -> Estimator:
    """Return a classifier for each class against all others."""
    binary = _sgd(options, max_iter=int(options["max_iter"]))
    return import_sklearn().multiclass.OneVsRestClassifier(binary)


def one_versus_one(shape: Shape, classes: int, options: Options) -> Estimator:
    """Return a classifier for each pair of classes; the class with most votes wins."""
    binary = _sgd(options, max_iter=int(options["max_iter"]))
    return import_sklearn().multiclass.OneVsOneClassifier(binary)


def _sgd(options: Options, **more: int) -> Estimator:
    average = bool(
        options.get("average", 0)
    )  # averaging over all steps reduces the noise of the last weights
    return import_sklearn().linear_model.SGDClassifier(
        loss="log_loss", alpha=options["alpha"], average=average, **more
    )
