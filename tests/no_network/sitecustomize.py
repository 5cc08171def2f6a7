"""Keeps the tests on this machine: a connection or a look-up that would leave it fails at once and is written down.

`tests/conftest.py` imports this module, and puts its folder on PYTHONPATH, where Python imports a module of this name
by itself: so the kernels, command lines and servers that a test starts are watched as well. A library that swallows
the error does not hide the attempt, since the test that was running fails by the line in the log.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import Any

LOG = "COURSE_TESTS_NETWORK_LOG"  # the environment variable with the path of the list of attempts
allowed = False  # switched on by the `network` marker
_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def is_local(host: Any) -> bool:
    """Whether a host, as sockets are given it, is this machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(what: str) -> OSError:
    if path := os.environ.get(LOG):
        with open(path, "a", encoding="utf-8") as log:
            log.write(f"{what} by {' '.join(sys.argv[:3]) or 'python'}\n")
    return ConnectionRefusedError(f"The tests stay on this machine: {what} was refused.")


def _check(sock: socket.socket, address: Any) -> None:
    if not allowed and sock.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
        raise _refuse(f"a connection to {address[0]}:{address[1]}")


def connect(self: socket.socket, address: Any) -> None:
    """`socket.connect`, to this machine only."""
    _check(self, address)
    return _connect(self, address)


def connect_ex(self: socket.socket, address: Any) -> int:
    """`socket.connect_ex`, to this machine only."""
    _check(self, address)
    return _connect_ex(self, address)


def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    """`socket.getaddrinfo`, of this machine's own names only; numeric addresses need no look-up."""
    if not allowed and not is_local(host):
        raise _refuse(f"a look-up of {host}")
    return _getaddrinfo(host, *args, **kwargs)


socket.socket.connect = connect  # type: ignore[method-assign]
socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
socket.getaddrinfo = getaddrinfo
