"""Ways of training in one or several processes, a file each."""

from iddpm.training.running.alone import Alone
from iddpm.training.running.backend import Backend, from_environment

__all__ = ["Alone", "Backend", "from_environment"]
