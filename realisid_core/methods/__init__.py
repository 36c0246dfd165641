"""The methods that checkpoints can be of: one short file and one line here for each."""

from ..model import Method
from .instant_family import INSTANT_FAMILY
from .instantid import INSTANTID
from .realisid import REALISID

METHODS: dict[str, Method] = {method.name: method for method in (REALISID, INSTANTID, INSTANT_FAMILY)}
