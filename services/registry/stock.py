"""What registry holds that others hold too."""

from services.chassis.stock import Kept

KEPT = (
    Kept(name="区划", owner="registry", rows="division", key="code", version="version"),
    Kept(name="工作人员", owner="registry", rows="staff", key="id", version="version"),
    Kept(name="人员", owner="registry", rows="person", key="id", version="version"),
    Kept(name="家庭", owner="registry", rows="household", key="id", version="version"),
    Kept(
        name="账户",
        owner="registry",
        rows="person WHERE account_version > 0",
        key="id",
        version="account_version",
    ),
    Kept(
        name="电话",
        owner="registry",
        rows="person WHERE contact_version > 0",
        key="id",
        version="contact_version",
    ),
    Kept(
        name="在享人员",
        owner="funding",
        rows="held_benefit WHERE NOT ended",
        key="entitlement_id || ' ' || person_id",
        version="benefit",
    ),
)
