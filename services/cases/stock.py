"""What cases holds that others hold too."""

from services.chassis.stock import Kept

KEPT = (
    Kept(name="区划", owner="registry", rows="division", key="division", version="version"),
    Kept(name="工作人员", owner="registry", rows="staff", key="staff_id", version="version"),
    Kept(name="人员", owner="registry", rows="person", key="person_id", version="version"),
    Kept(name="家庭", owner="registry", rows="household", key="household_id", version="version"),
    Kept(name="待遇", owner="funding", rows="held_benefit", key="entitlement_id", version="ended"),
)
