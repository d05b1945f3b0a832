"""Every word that explanations are written with, by language: the one place to correct or add one.

Leaves to others: which of them are said (text.py). `{…}` is filled in from figures.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from dataclasses import field as field_of
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

FUNCTION_WORDS = frozenset({
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "do", "for",
    "from", "give", "has", "have", "i", "in", "is", "it", "like", "me", "my", "of", "on", "or",
    "please", "show", "so", "some", "something", "than", "that", "the", "their", "them", "there",
    "this", "to", "want", "was", "we", "which", "who", "will", "with", "would", "you", "your",
})  # fmt: skip
"""Of a request, words that are no reason to a reader, whatever they do to a score."""


@dataclass(frozen=True)
class Phrases:
    """The sentences of one language."""

    quoted: str
    earlier: str
    several: str
    """Between the things of a list, but for the last two."""
    last: str
    """Between the last two."""
    also: str
    """Between clauses of one sentence."""
    because: str
    although: str
    chose: str
    asked: str
    field: str
    """What a context field is."""
    fields_and: str
    """Between two of these."""
    popular: str
    objective: str
    not_popular: str
    speaks_against: str
    turned_down: str
    lacking: str
    for_everybody: str
    usual: str
    changes: str
    unchanged: str
    raises: tuple[str, str]
    """Of one thing, of several."""
    lowers: tuple[str, str]
    opinions: tuple[str, str]
    kinds: dict[str, str]
    """Parts that have no other name."""
    words: str
    being: str
    without: str
    smallest: str
    """Of several: no smaller set does it, and all were tried."""
    minimal: str
    """Of several: each is needed, but not all smaller sets were tried."""
    unknown: str
    """A context field that is not told."""
    above: str
    placed: str
    """Above another by a rule of the list."""
    mostly: str
    less: str
    shares: str
    named: str
    """The entity that is shared, where it has a name."""
    relations: dict[str, str]
    """Nouns of the knowledge graph in this language; others stay as they are."""
    similar: str
    disliked: str
    """A disliked item as the label of a part."""
    dislike: str
    """The same as a noun of a sentence."""
    fields: dict[str, str] = field_of(default_factory=dict)
    """Names of context fields in this language; others stay as they are."""
    values: dict[str, str] = field_of(default_factory=dict)
    """What they may be."""
    objectives: dict[str, str] = field_of(default_factory=dict)
    """Objectives that have their meaning by name; others stay as they are."""


EN = Phrases(
    quoted="“{}”",
    earlier="{} earlier items",
    several=", ",
    last=" and ",
    also=" and ",
    because="Because {reasons}{against}.",
    although=", although {}",
    chose="you chose {}",
    asked="you asked for {}",
    field="{name} is {value}",
    fields_and=" and ",
    popular="it is popular",
    objective="it does well in {}",
    not_popular="it is not popular",
    speaks_against="{} speaks against it",
    turned_down="you turned down {}",
    lacking="Nothing that is known of you speaks for it; it is here for lack of better ones.",
    for_everybody="Nothing is known of you; this is the order for everybody.",
    usual="Somebody unknown would give it {before}; {rest}.",
    changes="{things} {verb} that to {after}",
    unchanged="nothing that is known of you changes that",
    raises=("raises", "raise"),
    lowers=("lowers", "lower"),
    opinions=("your opinion of {}", "your opinions of {}"),
    kinds={"popularity": "its popularity", "base": "what everybody would get"},
    words="your words {}",
    being="{name} being {value}",
    without="Without {things} it would be number {rank}, not among the first {k}{least}.",
    smallest="; fewer of your items would not do",
    minimal="; each of these is needed, but fewer others might do",
    unknown="If {name} were not known it would be number {rank}, not among the first {k}.",
    above="{ours} is above {theirs} by {gap}{reasons}.",
    placed="{ours} is above {theirs} by a rule of the list: its score is lower by {gap}.",
    mostly=", mostly for {}",
    less=", although {} speaks for the other",
    shares="The same {relation} as {others}{entity}, which {n} of {n_items} items share.",
    named=" ({})",
    relations={"mentions": "subject", "origin": "place of origin"},
    similar="Of {n} users with at least {common} of your items in common, {chose} chose it.",
    disliked="not {}",
    dislike="your dislike of {}",
    fields={"hour": "the time", "weekday": "the day", "month": "the month", "season": "the season"},
)

_DAYS_ZH = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
_MONTHS_ZH = (
    "一月", "二月", "三月", "四月", "五月", "六月",
    "七月", "八月", "九月", "十月", "十一月", "十二月",
)  # fmt: skip

ZH = Phrases(
    quoted="“{}”",
    earlier="更早的{}项",
    several="、",
    last="和",
    also="，并且",
    because="因为{reasons}{against}。",
    although="，尽管{}",
    chose="您选择过{}",
    asked="您想要{}",
    field="{name}为{value}",
    fields_and="、",
    popular="它很受欢迎",
    objective="它在{}方面表现好",
    not_popular="它并不热门",
    speaks_against="{}不利于它",
    turned_down="您不喜欢{}",
    lacking="已知的信息都不支持它；它在这里是因为没有更好的。",
    for_everybody="对您还一无所知；这是对所有人的排序。",
    usual="对其一无所知的用户会给它{before}分；{rest}。",
    changes="{things}{verb}到{after}分",
    unchanged="已知的信息不改变这一点",
    raises=("使它升", "使它升"),
    lowers=("使它降", "使它降"),
    opinions=("您对{}的评价", "您对{}的评价"),
    kinds={"popularity": "它的受欢迎程度", "base": "人人都有的基础分"},
    words="您说的{}",
    being="{name}为{value}",
    without="如果没有{things}，它将排在第{rank}位，不在前{k}位之内{least}。",
    smallest="；更少的历史项做不到这一点",
    minimal="；其中每一项都不可少，但更少的其他项也许可以",
    unknown="如果不知道{name}，它将排在第{rank}位，不在前{k}位之内。",
    above="{ours}比{theirs}高{gap}{reasons}。",
    placed="{ours}排在{theirs}之前是因为列表的规则：它的得分低{gap}。",
    mostly="，主要因为{}",
    less="，尽管{}有利于后者",
    shares="{relation}与{others}相同{entity}，{n_items}项中有{n}项如此。",
    named="（{}）",
    relations={
        "director": "导演",
        "actor": "演员",
        "writer": "编剧",
        "producer": "制片人",
        "composer": "作曲",
        "genre": "类型",
        "country": "国家",
        "language": "语言",
        "mentions": "主题",
        "origin": "来源地",
        "cinematographer": "摄影师",
        "editor": "剪辑师",
        "production company": "制作公司",
        "production companies": "制作公司",
        "award won": "所获奖项",
        "award nomination": "提名奖项",
        "rating": "分级",
        "content rating": "分级",
        "subject": "题材",
        "subjects": "题材",
        "sequel": "续集",
        "prequel": "前传",
        "film": "影片",
        "album": "专辑",
        "track": "曲目",
        "instruments played": "乐器",
        "profession": "职业",
        "place of birth": "出生地",
        "place of death": "去世地",
    },
    similar="在与您至少有{common}项相同的{n}位用户中，{chose}位选择了它。",
    disliked="不喜欢：{}",
    dislike="您不喜欢{}",
    fields={
        "hour": "时间",
        "weekday": "这一天",
        "month": "月份",
        "season": "季节",
        "daypart": "时段",
        "weather": "天气",
        "temperature": "气温",
        "company": "同伴",
        "location": "地点",
        "city": "城市",
    },
    values={
        **dict(zip(calendar.day_name, _DAYS_ZH, strict=True)),
        **dict(zip(calendar.month_name[1:], _MONTHS_ZH, strict=True)),
        "spring": "春季",
        "summer": "夏季",
        "autumn": "秋季",
        "fall": "秋季",
        "winter": "冬季",
        "morning": "上午",
        "noon": "中午",
        "afternoon": "下午",
        "evening": "晚上",
        "night": "夜间",
        "sunny": "晴",
        "cloudy": "多云",
        "rain": "雨",
        "snow": "雪",
        "alone": "独自一人",
        "couple": "伴侣",
        "friends": "朋友",
        "family": "家人",
        "colleagues": "同事",
    },
    objectives={
        "relevance": "相关性",
        "popularity": "受欢迎程度",
        "novelty": "新颖性",
        "newness": "新近程度",
        "freshness": "新鲜度",
        "distance": "距离",
        "diversity": "多样性",
        "exposure": "曝光",
        "price": "价格",
    },
)

PHRASES: dict[Language, Phrases] = {"en": EN, "zh": ZH}
