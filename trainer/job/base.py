"""What a job does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.run.run import Run


class Job(ABC):
    """Takes the parts of a run and gives its result."""

    parallel = False  # whether several processes can do it together
    needs_data = False  # whether there is nothing to do without the run's own data set

    @abstractmethod
    def __call__(self, run: Run) -> dict[str, Any]:
        """Do it; what is returned goes into result.json."""
