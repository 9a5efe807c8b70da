from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpt_sovits.text.chinese_normalization import normalise
from providers.gpt_sovits.text.chinese_numbers import cardinal, decimal, spoken


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "零"),
        ("000", "零"),
        ("10", "十"),
        ("12", "十二"),
        ("20", "二十"),
        ("101", "一百零一"),
        ("110", "一百一十"),
        ("1001", "一千零一"),
        ("1010", "一千零一十"),
        ("2200", "二千二百"),
        ("10500", "一万零五百"),
        ("100000", "十万"),
        ("100010", "十万零一十"),
        ("10000001", "一千万零一"),
        ("100000000", "一亿"),
        ("1000000001", "十亿零一"),
        ("123456789012", "一千二百三十四亿五千六百七十八万九千零一十二"),
        ("1" * 17, "一" * 17),
    ],
)
def test_cardinals(digits: str, words: str) -> None:
    assert cardinal(digits) == words


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("3.14", "三点一四"),
        ("-5", "负五"),
        ("3.20", "三点二零"),
        ("3.000", "三点零"),
        (".5", "零点五"),
        ("1,234.5", "一千二百三十四点五"),
    ],
)
def test_decimals(written: str, words: str) -> None:
    assert decimal(written) == words


# As the published normaliser says them.
_AS_PUBLISHED = [
    ("今天是2024年5月6日，星期一。", "今天是二零二四年五月六日，星期一。"),
    ("2024-05-06到2024/12/31", "二零二四年五月六日到二零二四年十二月三十一日"),
    ("12:05、3:00、23:59:59", "十二点零五分、三点、二十三点五十九分五十九秒"),
    ("8:30-17:30", "八点半至十七点半"),
    ("-5℃到10℃", "零下五度到十度"),
    ("5℃~10℃", "五度至十度"),
    ("20摄氏度", "二十摄氏度"),
    ("100m2，5cm，2.5kg", "一百平方米，五厘米，二点五千克"),
    ("1+1=2，3×4=12，10÷2=5，5-3=2", "一加一等于二，三乘四等于十二，十除二等于五，五减三等于二"),
    ("10²", "十的二次方"),
    ("1/3和-2/5", "三分之一和负五分之二"),
    ("-3.5%", "负百分之三点五"),
    ("13800138000", "幺三八零零幺三八零零零"),
    ("10~20人", "十到二十人"),
    ("1.2.3.4", "一点二点三点四"),
    ("2个，2只，12个，200人，3+个", "两个，两只，十二个，二百人，三多个"),
    ("1000元，10500元", "一千元，一万零五百元"),
    ("门牌123号，房间1024", "门牌幺二三号，房间幺零二四"),
    ("0.5和.5", "零点五和零点五"),
    ("2.5亿", "二点五亿"),
    ("110101199003071234", "幺幺零幺零幺幺九九零零三零七幺二三四"),
]
# What it misreads.
_READ_BETTER = [
    ("3-5个", "三到五个"),
    ("10-20%", "百分之十到百分之二十"),
    ("2月14日，2号", "二月十四日，二号"),
    ("20年来，24年5月，第2名", "二十年来，二四年五月，第二名"),
    ("2020-2024年", "二零二零到二零二四年"),
    ("80后，90年代", "八零后，九十年代"),
    ("12:00~13:30，2:30", "十二点至十三点半，两点半"),
    ("3:2，1:1", "三比二，一比一"),
    ("1,000人，1,234,567", "一千人，一百二十三万四千五百六十七"),
    ("共1000", "共一千"),
    ("$100、￥50、€3.5万、20£、HK$2", "一百美元、五十元、三点五万欧元、二十英镑、二港元"),
    ("010-12345678，400-123-4567", "零幺零，幺二三四五六七八，四零零，幺二三，四五六七"),
    ("x²", "x的二次方"),
    ("50km/h", "五十千米每小时"),
    ("5‰", "千分之五"),
    ("7*24小时", "七乘二十四小时"),
]


@pytest.mark.parametrize(("text", "words"), _AS_PUBLISHED + _READ_BETTER)
def test_numbers_in_text(text: str, words: str) -> None:
    assert spoken(text) == words


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("他說：「你好！！！」（笑）《書名》", "他说,你好!笑书名"),
        ("乾清宮後面，麽綝", "乾清宫后面,么綝"),
        ("嗯……啊~~~好的...", "嗯…啊…好的…"),
        ("你好-世界——再见", "你好,世界再见"),
        ("一二三〇①α", "一二三零一阿尔法"),
        ("１２个ＡＢ苹果", "十二个苹果"),
        ("每元/斤，和/或", "每元每斤,和,或"),
        ("abc 🙂 ", ""),
        ("", ""),
    ],
)
def test_nothing_but_characters_and_marks_is_left(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("今个年月日点0123456789.:-/~%℃$,，。+="), max_size=40))
def test_no_digit_is_left(text: str) -> None:
    assert not any(char.isdecimal() for char in spoken(text))
