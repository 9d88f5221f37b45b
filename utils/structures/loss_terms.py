"""Result of a criterion: named scalars and their total."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """Scalar losses of one batch by name, gains applied, each averaged so that batch size cancels.

    Code that sums, logs or plots them loops over `names`, so a new term of a criterion needs no
    other change. A tuple of names beside a tuple of tensors, because torch.compile handles that
    better than a mapping.

    names: of the terms, in the order in which they are shown and added up, as columns of
    metrics.csv. values: one scalar each. num_foreground: number of matches, a scalar.
    batch_size: images the terms were averaged over.
    """

    names: tuple[str, ...]
    values: tuple[Tensor, ...]
    num_foreground: Tensor
    batch_size: int

    @classmethod
    def of(
        cls, terms: Mapping[str, Tensor], *, num_foreground: Tensor, batch_size: int
    ) -> "LossTerms":
        """Return the terms of a mapping from name to scalar, in its order."""
        return cls(
            names=tuple(terms),
            values=tuple(terms.values()),
            num_foreground=num_foreground,
            batch_size=batch_size,
        )

    @property
    def total(self) -> Tensor:
        """Sum of the terms times the batch size, a scalar: what `backward` starts from.

        The batch size is a factor because published learning rates are tuned for it.
        """
        total = self.values[0]
        for value in self.values[1:]:
            total = total + value
        return total * self.batch_size

    def __getitem__(self, name: str) -> Tensor:
        """Return the term of that name, a scalar.

        Raises:
            KeyError: there is none.
        """
        if name not in self.names:
            raise KeyError(name)
        return self.values[self.names.index(name)]

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Yield names and terms in order."""
        return iter(zip(self.names, self.values, strict=True))

    def detached(self) -> "LossTerms":
        """Return the same numbers without the graph that led to them."""
        return replace(
            self,
            values=tuple(value.detach() for value in self.values),
            num_foreground=self.num_foreground.detach(),
        )
