"""Whom an operation acts for, and where: from what the caller said, or the only choice there is.

Owns: the rules of `as` and `space`. Must not know: operations.
"""

from collections.abc import Sequence
from dataclasses import replace

from quire.api.host import NodeContext
from quire.errors import NotFound, UserError
from quire.handlers import identity as identities
from quire.store.memberships import JOINING, Membership


def scoped(ctx: NodeContext, scope: str, identity: str | None, space: str | None) -> NodeContext:
    """The context narrowed to what `scope` asks for: `home`, `identity` or `space`."""
    if scope == "home":
        return _named(ctx, identity, space)
    account = _account(ctx, identity) if identity or scope != "space" else _account_in(ctx, space)
    chosen = None if scope == "identity" else _membership(ctx, account, space)
    return replace(ctx, account=account, chosen=chosen)


def _named(ctx: NodeContext, identity: str | None, space: str | None) -> NodeContext:
    """For what concerns the whole home: a name need not be given, but one that is has to exist."""
    account = identities.account_called(ctx, identity) if identity else 0
    accounts = [account] if account else ctx.home.store.memberships.accounts()
    members = [m for each in accounts for m in ctx.home.store.memberships.of_account(each)]
    if space and not any(space in (m.name, m.space_id) for m in members):
        raise NotFound(f"There is no space called {space!r} here. `quire space list` shows those there are.")
    return replace(ctx, account=account)


def _account_in(ctx: NodeContext, space: str | None) -> int:
    """The only identity that is in that space, or in any."""
    memberships = ctx.home.store.memberships
    inside = [
        account
        for account in memberships.accounts()
        if any(
            space in (None, m.name, m.space_id) and m.kind != JOINING for m in memberships.of_account(account)
        )
    ]
    return inside[0] if len(inside) == 1 else _account(ctx, None)


def _account(ctx: NodeContext, name: str | None) -> int:
    if name:
        return identities.account_called(ctx, name)
    accounts = ctx.home.store.memberships.accounts()
    if not accounts:
        raise UserError(
            "There is no identity here yet. Make one with `quire identity create NAME`, "
            "or join a space with `quire join LINK --name NAME`."
        )
    if len(accounts) > 1:
        names = _listed([f"{i.name!r}" for i in identities.list_(ctx)])
        raise UserError(f"There are several identities here: {names}. Say which one with `--as NAME`.")
    return accounts[0]


def _membership(ctx: NodeContext, account: int, name: str | None) -> Membership | None:
    """The space meant; None when the identity is in no space and none was named."""
    members = ctx.home.store.memberships.of_account(account)
    if name:
        found = [m for m in members if m.space_id == name] or [m for m in members if m.name == name]
        if not found:
            raise NotFound(
                f"This identity is in no space called {name!r}. `quire space list` shows those it is in."
            )
        members = found
    if len(members) > 1:
        names = _listed([f"{m.name!r} ({m.space_id})" for m in members])
        raise UserError(f"This identity is in several spaces: {names}. Say which one with `--space NAME`.")
    return members[0] if members else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
