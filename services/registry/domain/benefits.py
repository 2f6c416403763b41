"""The benefits (待遇项目), kinships and categories a roster may name, and how people write them."""

from __future__ import annotations

import re

BENEFITS: dict[str, str] = {
    "urban_dibao": "城市低保",
    "rural_dibao": "农村低保",
    "tekun": "特困",
    "orphan": "孤儿",
    "de_facto_orphan": "事实无人抚养",
    "disability_living": "困难生活补贴",
    "disability_care": "重度护理补贴",
    "elderly": "高龄津贴",
}
"""Code → title, in the order in which they are offered."""

OF_HOUSEHOLD = frozenset({"urban_dibao", "rural_dibao"})
"""Benefits whose amount is the household's; 待遇项目 then marks who is covered."""

OF_CHILD = frozenset({"orphan", "de_facto_orphan"})
"""Benefits that are never made public."""

SPELLINGS: dict[str, str] = {title: code for code, title in BENEFITS.items()} | {
    "城镇低保": "urban_dibao",
    "城市最低生活保障": "urban_dibao",
    "城镇最低生活保障": "urban_dibao",
    "农村最低生活保障": "rural_dibao",
    "特困人员": "tekun",
    "特困供养": "tekun",
    "特困人员供养": "tekun",
    "特困人员救助供养": "tekun",
    "孤儿基本生活费": "orphan",
    "孤儿保障": "orphan",
    "事实无人抚养儿童": "de_facto_orphan",
    "事实无人抚养儿童基本生活费": "de_facto_orphan",
    "残疾人困难生活补贴": "disability_living",
    "困难残疾人生活补贴": "disability_living",
    "残疾人生活补贴": "disability_living",
    "残疾人重度护理补贴": "disability_care",
    "重度残疾人护理补贴": "disability_care",
    "残疾人护理补贴": "disability_care",
    "护理补贴": "disability_care",
    "高龄补贴": "elderly",
    "高龄老人津贴": "elderly",
    "高龄老人补贴": "elderly",
}

HEAD = "02"
KINSHIPS: dict[str, str] = {
    "01": "本人",
    "02": "户主",
    "10": "配偶",
    "20": "子",
    "30": "女",
    "40": "孙子女",
    "50": "父母",
    "60": "祖父母",
    "70": "兄弟姐妹",
    "80": "其他",
}
"""GB/T 4761-2008, first digit level, as far as a household roster needs it."""

KINSHIP_SPELLINGS: dict[str, str] = {title: code for code, title in KINSHIPS.items()} | {
    "本人": HEAD,
    "本人或户主": HEAD,
    "户主本人": HEAD,
    "妻": "10",
    "妻子": "10",
    "夫": "10",
    "丈夫": "10",
    "儿子": "20",
    "长子": "20",
    "次子": "20",
    "三子": "20",
    "女婿": "20",
    "养子": "20",
    "继子": "20",
    "女儿": "30",
    "长女": "30",
    "次女": "30",
    "三女": "30",
    "儿媳": "30",
    "媳妇": "30",
    "养女": "30",
    "继女": "30",
    "子女": "20",
    "孙": "40",
    "孙子": "40",
    "孙女": "40",
    "外孙": "40",
    "外孙子": "40",
    "外孙女": "40",
    "外孙子女": "40",
    "父": "50",
    "母": "50",
    "父亲": "50",
    "母亲": "50",
    "公公": "50",
    "婆婆": "50",
    "岳父": "50",
    "岳母": "50",
    "祖父": "60",
    "祖母": "60",
    "爷爷": "60",
    "奶奶": "60",
    "外祖父": "60",
    "外祖母": "60",
    "外祖父母": "60",
    "兄": "70",
    "弟": "70",
    "姐": "70",
    "妹": "70",
    "哥哥": "70",
    "弟弟": "70",
    "姐姐": "70",
    "妹妹": "70",
    "兄弟": "70",
    "姐妹": "70",
    "其他亲属": "80",
    "非亲属": "80",
    "侄子": "80",
    "侄女": "80",
}

CATEGORIES: dict[str, str] = {
    "低保对象": "dibao",
    "单人保": "single_cover",
    "特困人员": "tekun",
    "低保边缘": "marginal",
    "低保边缘家庭": "marginal",
    "刚性支出困难": "rigid_expense",
    "刚性支出困难家庭": "rigid_expense",
    "孤儿": "orphan",
    "事实无人抚养儿童": "de_facto_orphan",
    "困境儿童": "child_in_difficulty",
    "留守儿童": "left_behind_child",
    "留守老人": "left_behind_elder",
    "独居老人": "living_alone",
    "空巢老人": "empty_nest",
    "高龄老人": "elderly",
    "失能老人": "care_total",
    "完全失能": "care_total",
    "部分失能": "care_partial",
    "集中供养": "centralised",
    "残疾人": "disabled",
    "重度残疾人": "severely_disabled",
    "重病患者": "serious_illness",
    "优抚对象": "special_care",
    "退役军人": "veteran",
    "库区移民": "resettled",
    "困难群众": "in_difficulty",
    "一般居民": "resident",
}
"""Categories (对象类别) → code. Another word is kept as written, with a warning."""

DISABILITY = re.compile(
    "(?:残疾)?(视力|听力|言语|肢体|智力|精神|多重)(?:残疾)?([一二三四])级(?:残疾)?"
)
"""A disability among the categories, e.g. 肢体二级残疾: class and grade (GB/T 26341)."""

ALONE_COVERED = "单人保"
"""The category that marks 低保 of one person of a household (单人保)."""
