"""NumPy dtypes of the core's structs, made from the public headers: no field is written twice.

>>> frame = dtype_of("numi_frame")
>>> frame.itemsize, frame.fields["data_size"][1]
(64, 40)
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numi_bypass._ffi import CData, ffi


def _numpy_type(ctype: CData) -> DTypeLike:
    if ctype.kind == "struct":
        return _struct_dtype(ctype)
    if ctype.kind == "array":
        return (_numpy_type(ctype.item), (ctype.length,))
    if ctype.kind == "pointer":
        return np.dtype(np.uintp)
    if ctype.cname == "char":
        return np.dtype("S1")
    kind = "f" if ctype.cname in ("float", "double") else "i" if int(ffi.cast(ctype, -1)) < 0 else "u"
    return np.dtype(f"<{kind}{ffi.sizeof(ctype)}")


def _struct_dtype(ctype: CData) -> "np.dtype[Any]":
    fields = ctype.fields
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [_numpy_type(field.type) for _, field in fields],
            "offsets": [field.offset for _, field in fields],
            "itemsize": ffi.sizeof(ctype),
        }
    )


@cache
def dtype_of(struct: str) -> "np.dtype[Any]":
    """The dtype of a struct of the public headers, offsets and all, as the compiler laid it out."""
    return _struct_dtype(ffi.typeof(f"struct {struct}"))
