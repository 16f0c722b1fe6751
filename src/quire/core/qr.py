"""QR codes of links, for a terminal and for a page.

Owns: how a code is drawn. Must not know: what the link says.
"""

import io

import segno

from quire.errors import UserError
from quire.limits import MAX_QR_CHARS

# Colours 16 and 231 of 256 are the same in every theme, as the first 16 are not: a code in the terminal's own colours
# would be a negative in one of dark and light, which not every scanner reads.
_WHITE_ON_BLACK, _PLAIN = "\x1b[38;5;231;48;5;16m", "\x1b[0m"


def as_terminal(link: str) -> str:
    """The code as lines of half blocks, two modules to a character, with colours of its own. Raises UserError."""
    drawn = io.StringIO()
    _code(link).terminal(drawn, compact=True)
    return "\n".join(f"{_WHITE_ON_BLACK}{line}{_PLAIN}" for line in drawn.getvalue().splitlines())


def as_svg(link: str, title: str = "QR code") -> str:
    """The code as an SVG element for a page; `title` is read out, so it must not be secret. Raises UserError."""
    drawn = io.BytesIO()
    _code(link).save(drawn, kind="svg", title=title, light="#fff", omitsize=True, xmldecl=False, nl=False)
    return drawn.getvalue().decode()


def _code(link: str) -> segno.QRCode:
    if not (0 < len(link) <= MAX_QR_CHARS and link.isascii()):
        raise UserError(
            f"No QR code can be made of this: a link has at most {MAX_QR_CHARS:,} plain characters. "
            "Send it as text instead."
        )
    # The lowest error correction: a screen has no stains, and fewer modules are larger and easier to scan.
    return segno.make_qr(link, error="l")
