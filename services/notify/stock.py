"""What notify holds that others hold too."""

from services.chassis.stock import Kept

KEPT = (
    Kept(
        name="工作人员",
        owner="registry",
        rows="staff WHERE version IS NOT NULL",
        key="staff_id",
        version="version",
    ),
    Kept(name="人员", owner="registry", rows="person", key="person_id", version="version"),
    Kept(
        name="电话",
        owner="registry",
        rows="(SELECT DISTINCT ON (person_id) person_id, version FROM contact"
        " ORDER BY person_id, epoch DESC, version DESC) AS newest",
        key="person_id",
        version="version",
    ),
)
