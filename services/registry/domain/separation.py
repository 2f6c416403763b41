"""三员分立: who runs the system, who grants rights and who audits are three persons.

source: 《信息安全技术 网络安全等级保护基本要求》GB/T 22239-2019, third level: 8.1.5 安全管理中心
(system, audit and security management, each by its own administrator), 8.1.7.1 (the three posts).
"""

from __future__ import annotations

from collections.abc import Collection

from services.contracts.actors import Role

ADMINISTRATORS = frozenset({Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR})


def conflict(roles: Collection[Role]) -> str | None:
    """Why nobody may hold these roles together; ``None`` when somebody may."""
    held = ADMINISTRATORS & set(roles)
    if len(held) > 1:
        return "系统管理员、安全管理员、审计员必须由三个人分别担任"
    if held and set(roles) - held:
        return "系统管理员、安全管理员、审计员不得兼任业务岗位"
    return None


def may_appoint(
    appointing: Collection[Role], roles: Collection[Role], filled: Collection[Role]
) -> bool:
    """Whether the holder of ``appointing`` may put somebody in post with ``roles``.

    Administrators are appointed by the security administrator. The system administrator, who is
    there first, appoints the first of each; ``filled`` are the administrators' posts in force.
    """
    wanted = ADMINISTRATORS & set(roles)
    if not wanted or Role.SECURITY_ADMIN in appointing:
        return True
    return Role.SYSTEM_ADMIN in appointing and not wanted & set(filled)


def may_reset_password(resetting: Collection[Role], of: Collection[Role]) -> bool:
    """Whether an administrator may give the holder of ``of`` a new password.

    That of an administrator comes from the security administrator, that of a security
    administrator from somebody else: nobody takes over the auditor's account, or a colleague's.
    """
    held = ADMINISTRATORS & set(of)
    if not held:
        return True
    if Role.SECURITY_ADMIN in held:
        return Role.SYSTEM_ADMIN in resetting
    return Role.SECURITY_ADMIN in resetting
