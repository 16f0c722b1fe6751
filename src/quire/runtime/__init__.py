"""The only place where clock, entropy, sockets and files are real.

Must not know: what events mean.
"""

from quire.runtime.folder import NodeInfo, home_folder, open_offline, running_node
from quire.runtime.run import DEFAULT_API, DEFAULT_LISTEN, run_node

__all__ = [
    "DEFAULT_API",
    "DEFAULT_LISTEN",
    "NodeInfo",
    "home_folder",
    "open_offline",
    "run_node",
    "running_node",
]
