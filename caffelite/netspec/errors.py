"""What can be wrong with a net written in Python."""

from __future__ import annotations

from ..errors import CaffeliteError, LayerError


class SettingError(LayerError, AttributeError, TypeError, ValueError):
    """A keyword is no setting of its layer, or its value does not fit.

    It is also what the original raised: an AttributeError of a name, a TypeError or ValueError of a value.
    """


class NotATop(CaffeliteError, TypeError):
    """Something else stands where the output of a layer belongs."""


class UnknownName(CaffeliteError, AttributeError, KeyError):
    """No such top, constant or layer type.  (A KeyError in the original, and so that `hasattr` works.)"""

    __str__ = Exception.__str__  # a KeyError shows the repr
