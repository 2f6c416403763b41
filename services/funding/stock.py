"""What funding holds that others hold too, and the sums of its own that must agree."""

from services.chassis.stock import Books, Kept

KEPT = (
    Kept(name="工作人员", owner="registry", rows="staff", key="staff_id", version="version"),
    Kept(
        name="人员",
        owner="registry",
        rows="person WHERE version IS NOT NULL",
        key="person_id",
        version="version",
    ),
    Kept(name="家庭", owner="registry", rows="household", key="household_id", version="version"),
    Kept(
        name="账户",
        owner="registry",
        rows="person WHERE account_version > 0",
        key="person_id",
        version="account_version",
    ),
    Kept(
        name="待遇",
        owner="funding",
        rows="entitlement",
        key="id",
        version="state <> 'active'",
    ),
    Kept(
        name="在享人员",
        owner="funding",
        rows="coverage JOIN entitlement e ON e.id = entitlement_id WHERE e.state = 'active'",
        key="entitlement_id || ' ' || person_id",
        version="e.benefit",
    ),
)

_SUM = "SELECT coalesce(sum(fen), 0)::bigint FROM "

BOOKS = (
    Books(
        name="已发放的付款 = 账上结清减退票",
        left=_SUM + "payment WHERE state = 'settled'",
        right="SELECT coalesce(sum(CASE step WHEN 'returned' THEN -fen ELSE fen END), 0)::bigint"
        " FROM transfer WHERE step IN ('settled', 'paid_from_reserve', 'returned')",
    ),
    Books(
        name="已付的应发 = 已发放的付款",
        left=_SUM + "due WHERE state = 'paid'",
        right="SELECT coalesce(sum(pd.fen), 0)::bigint FROM payment_due pd"
        " JOIN payment p ON p.id = pd.payment_id WHERE pd.live AND p.state = 'settled'",
    ),
    Books(
        name="在途款 = 已送银行未答复的付款",
        left="SELECT coalesce(sum(CASE WHEN debit = '在途' THEN fen ELSE -fen END), 0)::bigint"
        " FROM transfer WHERE debit = '在途' OR credit = '在途'",
        right=_SUM + "payment WHERE state = 'sent'",
    ),
    Books(
        name="应收款 = 未了的追回",
        left="SELECT coalesce(sum(CASE WHEN debit = '应收' THEN fen ELSE -fen END), 0)::bigint"
        " FROM transfer WHERE debit = '应收' OR credit = '应收'",
        right="SELECT coalesce(sum(fen - recovered_fen - written_off_fen), 0)::bigint"
        " FROM recovery WHERE NOT cancelled",
    ),
)
