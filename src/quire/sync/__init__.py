"""Sync strategies: sans-IO, knowing ids and bytes only. Chosen by name from STRATEGIES."""

from quire.sync.bloom import BloomStrategy
from quire.sync.full import FullStrategy
from quire.sync.index import EventIndex, Position, Summary
from quire.sync.sketch import SketchStrategy
from quire.sync.strategy import BadMessage, Entropy, Strategy, StrategyFactory

#: Every strategy by name: `STRATEGIES[name](sync_key, entropy)` makes one for one peer.
STRATEGIES: dict[str, StrategyFactory] = {
    "bloom": BloomStrategy,
    "full": FullStrategy,
    "sketch": SketchStrategy,
}

__all__ = [
    "STRATEGIES",
    "BadMessage",
    "Entropy",
    "EventIndex",
    "Position",
    "Strategy",
    "StrategyFactory",
    "Summary",
]
