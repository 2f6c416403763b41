"""The columns of a roster: what the template calls them, and what clerks call them."""

from __future__ import annotations

TOWN, VILLAGE, HOUSEHOLD, KINSHIP, NAME, IDENTITY, CATEGORY, BENEFIT = range(8)
INCOME, AMOUNT, SINCE, DOCUMENT, ACCOUNT_NAME, ACCOUNT, PHONE, OFFICER = range(8, 16)

TITLES = (
    "镇", "村", "户编号", "与户主关系", "姓名", "身份证号", "对象类别", "待遇项目",
    "家庭月收入(元)", "核定金额(元/月)", "享受起始月", "批准文号", "开户名", "银行账号",
    "联系电话", "责任人工号",
)  # fmt: skip
"""The columns as the template names them, in the order of the constants above."""

SYNONYMS: dict[int, tuple[str, ...]] = {
    TOWN: ("镇", "乡镇", "镇街", "镇乡", "镇街道", "乡镇街道", "所属镇", "所在镇", "镇办", "镇区"),
    VILLAGE: ("村", "村居", "村社区", "行政村", "所属村", "所在村", "村居委会", "村委会", "社区"),
    HOUSEHOLD: ("户编号", "户号", "家庭编号", "户编码", "家庭户号"),
    KINSHIP: ("与户主关系", "与户主的关系", "家庭关系", "关系", "户主关系"),
    NAME: ("姓名", "人员姓名", "成员姓名", "对象姓名"),
    IDENTITY: ("身份证号", "身份证号码", "身份证", "公民身份号码", "公民身份证号", "证件号码"),
    CATEGORY: ("对象类别", "人员类别", "类别", "救助对象类别", "人员类型"),
    BENEFIT: ("待遇项目", "待遇", "享受待遇", "救助项目", "项目", "享受项目"),
    INCOME: ("家庭月收入", "家庭月收入元", "月收入", "家庭收入"),
    AMOUNT: ("核定金额", "核定金额元月", "月核定金额", "月补助金额", "月保障金额", "补助金额"),
    SINCE: ("享受起始月", "起始月", "享受起始时间", "起始年月", "享受起始年月", "享受开始月"),
    DOCUMENT: ("批准文号", "审批文号", "文号", "批文号", "确认文号"),
    ACCOUNT_NAME: ("开户名", "户名", "账户名", "开户姓名", "账户姓名", "开户人"),
    ACCOUNT: (
        "银行账号",
        "账号",
        "银行卡号",
        "卡号",
        "一卡通账号",
        "社保卡账号",
        "银行帐号",
        "帐号",
    ),
    PHONE: ("联系电话", "电话", "手机", "手机号", "手机号码", "联系方式"),
    OFFICER: ("责任人工号", "责任人", "责任人编号", "工号", "专干工号", "包保责任人工号"),
}
OPTIONAL = frozenset({CATEGORY, PHONE})
"""Columns a roster may lack altogether."""

SENSITIVE = frozenset({IDENTITY, ACCOUNT, PHONE})
"""Columns of which only the last four characters are ever shown."""


def title(column: int) -> str:
    """The column's name without its unit: 核定金额."""
    return TITLES[column].split("(")[0]
