"""Formats of strings, as patterns that are enforced. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FORMATS", "FREE_FORMATS"]

_OCTET = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]\d|\d)"
_DATE = (
    r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d\d\d)-"
    r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
)
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+\-]([01]\d|2[0-3]):[0-5]\d)"
_LABEL = r"[a-zA-Z0-9]{1,24}(-[a-zA-Z0-9]{1,24})?"

_EMAIL = rf"^[a-zA-Z0-9]{{1,32}}([._+\-][a-zA-Z0-9]{{1,16}}){{0,2}}@({_LABEL}\.){{1,3}}[a-zA-Z]{{2,12}}$"
_HOSTNAME = rf"^({_LABEL}\.){{0,4}}[a-zA-Z]{{2,12}}$"
_URI = (
    rf"^(https?|ftp)://({_LABEL}\.){{0,4}}[a-zA-Z]{{2,12}}(:[1-9]\d{{0,3}})?(/[a-zA-Z0-9._~\-]{{0,64}}){{0,16}}"
    r"(\?[a-zA-Z0-9._~=&\-]{0,256})?(#[a-zA-Z0-9._~\-]{0,64})?$"
)
_POINTER = r"(/[a-zA-Z0-9_\-]{1,40}){1,16}"

# Formats that can be enforced: what each expression accepts is valid by the format's own specification (the 29th of
# February, for one, is left out). Those that allow more than another are written as that one.
FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "date": f"^{_DATE}$",
        "time": f"^{_TIME}$",
        "date-time": f"^{_DATE}T{_TIME}$",
        "duration": r"^P(\d{1,4}W|\d{1,4}D(T\d{1,4}[HMS])?|\d{1,4}[MY]|T\d{1,4}[HMS])$",
        "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "email": _EMAIL,
        "idn-email": _EMAIL,
        "hostname": _HOSTNAME,
        "idn-hostname": _HOSTNAME,
        "ipv4": rf"^({_OCTET}\.){{3}}{_OCTET}$",
        "ipv6": r"^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$",
        "uri": _URI,
        "uri-reference": _URI,
        "uri-template": _URI,
        "iri": _URI,
        "iri-reference": _URI,
        "json-pointer": rf"^{_POINTER}$",
        "relative-json-pointer": rf"^\d({_POINTER})?$",
    }
)

# Formats that any string has.
FREE_FORMATS = frozenset({"directory-path", "file-path", "password", "path"})
