"""The outcome of one kind of attempt to break a run."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """A row of the table."""

    what: str
    tried: int = 0
    found: str = ""
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True if something was tried and nothing failed."""
        return self.tried > 0 and not self.failures

    def expect(self, holds: bool, otherwise: str) -> None:
        """Record a failure, described by `otherwise`, unless the condition holds."""
        if not holds:
            self.failures.append(otherwise)
