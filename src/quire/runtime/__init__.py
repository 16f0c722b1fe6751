"""The only place where clock, entropy, sockets and files are real.

Must not know: what events mean. `runtime.run` (a node) is imported by whoever runs one, since the web
server behind its API takes longer to load than most commands take in all.
"""

from quire.runtime.folder import (
    NodeInfo,
    home_folder,
    is_there,
    open_offline,
    protect_home,
    running_node,
)
from quire.runtime.home_key import Protection, Unlocking, keep_in_file, protection, refuse_too_late

__all__ = [
    "NodeInfo",
    "Protection",
    "Unlocking",
    "home_folder",
    "is_there",
    "keep_in_file",
    "open_offline",
    "protect_home",
    "protection",
    "refuse_too_late",
    "running_node",
]
