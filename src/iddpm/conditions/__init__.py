"""The conditions of models: what they are told of an item beside x_t and t. A file each."""

from iddpm.conditions.classes import Classes
from iddpm.conditions.condition import Condition, Conditions, conditions_of
from iddpm.conditions.low_resolution import LowResolution

__all__ = ["Classes", "Condition", "Conditions", "LowResolution", "conditions_of"]
