"""Thin shells around what carries bytes. They know addresses and datagrams, and nothing of what is in them."""
