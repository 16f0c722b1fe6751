"""The only place where clock, entropy, sockets and files are real.

Must not know: what events mean. `runtime.run` (a node) is imported by whoever runs one, since the web
server behind its API takes longer to load than most commands take in all.
"""

from quire.runtime.folder import NodeInfo, home_folder, is_there, open_offline, running_node

__all__ = ["NodeInfo", "home_folder", "is_there", "open_offline", "running_node"]
