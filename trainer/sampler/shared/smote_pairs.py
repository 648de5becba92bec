"""imbalanced-learn's SMOTE, returning the pairs it interpolates between."""

from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE
from imblearn.utils import check_neighbors_object


class Pairs(SMOTE):
    """SMOTE's draws without its points, which the run later computes from pixels."""

    def nearest(self, features: np.ndarray) -> np.ndarray:
        """Positions [n, k] of the k nearest neighbours of each row of features [n, d].

        A row is never its own neighbour. imbalanced-learn's search drops the nearest hit instead,
        which may be a duplicate of the row rather than the row itself.
        """
        search: Any = check_neighbors_object("sampler.k", self.k_neighbors)
        return search.fit(features).kneighbors(return_distance=False)

    def draw(self, neighbours: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw positions [number, 2] of examples and their neighbours, and λ [number]."""
        rows = np.arange(len(neighbours))
        drawn, _ = self._make_samples(rows, rows.dtype, 0, rows, neighbours, number)
        return drawn[:, :2].astype(np.int64), drawn[:, 2]

    def _generate_samples(
        self,
        X: np.ndarray,  # noqa: N803  (imbalanced-learn's name)
        nn_data: np.ndarray,
        nn_num: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        steps: np.ndarray,
        y_type: Any = None,
        y: Any = None,
    ) -> np.ndarray:
        """Return example, neighbour and λ of each point [number, 3], instead of the point."""
        return np.column_stack([X[rows], nn_data[nn_num[rows, cols]], steps])
