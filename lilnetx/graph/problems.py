"""What keeps a network from being imported, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lilnetx.errors import UnsupportedOperatorError

# What would help, by the reason; the first whose words are in it.
_REMEDIES = (
    ("batch", "keep the first axis of every value for the images"),
    ("differs between images", "use a constant that is the same for all images"),
    ("depends on the input", "use constants for weights, sizes and axes"),
    ("control flow", "export the network for one path, without branches and loops"),
    ("takes (", "check the shapes of the network's inputs ('--input-shape' where they are open)"),
    ("images of", "use operators on images of one or two axes"),
)
_ELSE = "replace it by operators of the list in the README"


@dataclass(frozen=True)
class Problem:
    """An operator that cannot be imported.

    Attributes:
        where: The node or layer.
        operator: Name of its operator in the framework.
        reason: Why not.
        cause: The importer's own error.
    """

    where: str
    operator: str
    reason: str
    cause: Exception | None = None

    @property
    def remedy(self) -> str:
        """What would help."""
        return next((text for words, text in _REMEDIES if words in self.reason), _ELSE)

    def __str__(self) -> str:
        """One line."""
        return f"{self.where}: operator {self.operator} {self.reason}; {self.remedy}"


@dataclass(frozen=True)
class Report:
    """What an import has to say about a network.

    Attributes:
        supported: How many nodes of each operator can be imported.
        problems: All that cannot.
    """

    supported: dict[str, int]
    problems: tuple[Problem, ...]


def error_of(problems: Sequence[Problem]) -> UnsupportedOperatorError:
    """The error for some problems: the first one, and how many more there are."""
    more = len(problems) - 1
    rest = f" (and {more} more; 'lilnetx check' lists all)" if more > 0 else ""
    return UnsupportedOperatorError(f"{problems[0]}{rest}")


__all__ = ["Problem", "Report", "error_of"]
