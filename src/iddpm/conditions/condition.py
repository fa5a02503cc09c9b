"""The abstract condition: something that a model is told of an item beside x_t and t."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from iddpm.config import Config, DatasetSpec
from iddpm.data.dataset import Dataset, Indices
from iddpm.names import CONDITIONS
from iddpm.networks import NetworkInput
from iddpm.progress import Work, ready

if TYPE_CHECKING:
    from collections.abc import Iterable

Conditions = Mapping[str, Tensor]
"""The values of a batch by the names of conditions, each `[batch, ...]`."""
ForRows = Callable[[range], Tensor]
"""Function from some rows of the samples that are drawn to the condition's values for them."""


class Condition(NetworkInput):
    """A condition of a model: where its values come from, and (see `NetworkInput`) how the network takes them in.

    To add one: write the methods below, and `embedding`, or `channels` and `beside`; give it a row in
    `names.CONDITIONS`. Models are trained with it if `network.conditions` names it ("vector", or "vector=8" with an
    argument).
    """

    needs_data: bool = False
    """Samples can only be drawn with values that come from data."""

    @classmethod
    def from_config(cls, config: Config, spec: DatasetSpec) -> Self | None:
        """Return the condition that a model of this configuration has; None for a model without it."""
        for text in config.network.conditions:
            name, _, argument = text.partition("=")
            if name == cls.name:
                return cls.from_argument(argument, spec)
        return None

    @classmethod
    def from_argument(cls, argument: str, spec: DatasetSpec) -> Self:
        """Return the condition with what stands after `=` in the configuration ("" for nothing)."""
        return cls()

    @abstractmethod
    def from_data(self, x_0: Tensor, dataset: Dataset, rows: Indices) -> Tensor:
        """Return the values `[batch, ...]` of a dataset's items at `rows`, which are `x_0` `[batch, channels, *size]`.

        They are on the device of `x_0`. UserError for data that does not have them.
        """

    @abstractmethod
    def for_samples(self, given: Any, count: int) -> ForRows:
        """Return the values of `count` samples, as a function of some of their rows.

        given: what a user gave (see `read`), or values `[count, ...]` from data; None if nothing was given.
        UserError for what cannot be.
        """

    def check(self, values: Tensor) -> None:
        """Raise UserError if the network cannot take these values `[batch, ...]`."""

    def read(self, text: str, count: int) -> Work[Any]:
        """Return, from words on a command line, what `for_samples` is given for `count` samples."""
        return ready(text)


def conditions_of(config: Config, spec: DatasetSpec) -> tuple[Condition, ...]:
    """Return the conditions that a model of this configuration has. UserError for one that the data cannot give."""
    for text in config.network.conditions:
        CONDITIONS.check(text.partition("=")[0])
    members: Iterable[Condition | None] = (CONDITIONS[name].from_config(config, spec) for name in CONDITIONS)
    return tuple(condition for condition in members if condition is not None)
