"""Sans-IO machines between two devices: links, sessions, and the endpoint that holds a node's sessions."""
