"""Messages of 200 characters from a fixed seed: words of one to four syllables, common ones more often."""

import random

WORDS = 4_000


def vocabulary() -> list[str]:
    """The words, the most common first."""
    source = random.Random(42)
    return [
        "".join(
            source.choice("bcdfghjklmnprstvwz") + source.choice("aeiou") for _ in range(source.randint(1, 4))
        )
        for _ in range(WORDS)
    ]


def texts(count: int) -> list[str]:
    """`count` different messages."""
    words, source = vocabulary(), random.Random(43)
    found = []
    for _ in range(count):
        text = ""
        while len(text) < 200:
            text += words[int(WORDS * source.random() ** 2)] + " "
        found.append(text[:200])
    return found
