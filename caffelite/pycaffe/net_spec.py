"""Building nets in Python (:mod:`caffelite.netspec`), with a NetSpec that shows its picture in a notebook."""

from __future__ import annotations

from .. import netspec
from ..netspec import Function, Top, assign_proto, layers, param_name_dict, params, to_proto

__all__ = ["Function", "NetSpec", "Top", "assign_proto", "layers", "param_name_dict", "params", "to_proto"]


class NetSpec(netspec.NetSpec):
    __doc__ = netspec.NetSpec.__doc__

    def _repr_html_(self) -> str:
        from .notebook import picture

        return picture(self.to_proto())
