"""Words and numbers of the simulated city: cuisines, districts, features, and what they suit.

Leaves to others: drawing restaurants and guests from them (simulate.py). Everything is made up.
"""

from __future__ import annotations

from typing import NamedTuple


class Cuisine(NamedTuple):
    """One cuisine: how common and dear it is, what it serves, and when and in what it is liked."""

    name: str
    share: float
    price: float
    """Median bill a person, EUR."""
    dishes: tuple[str, ...]
    warming: float
    """-1 to 1: how welcome it is in rain, snow and cold; below 0: unwelcome."""
    cooling: float
    """-1 to 1: how welcome it is on a hot day; below 0: unwelcome."""
    daytimes: tuple[float, float, float, float]
    """Fit to morning, lunch, afternoon and evening, -1 to 1."""


CUISINES = (
    Cuisine("Italian", 10, 24, ("tagliatelle with sage butter", "wood-fired pizza",
            "minestrone soup", "tiramisu", "grilled aubergine", "risotto"), 0.3, 0.2,
            (-1, 0.3, 0, 0.6)),
    Cuisine("Japanese", 7, 30, ("nigiri sushi", "tempura", "chilled soba", "grilled mackerel",
            "sashimi of the day", "miso aubergine"), 0.1, 0.7, (-1, 0.4, -0.2, 0.5)),
    Cuisine("Ramen", 6, 16, ("tonkotsu ramen", "miso ramen soup", "gyoza", "spicy broth",
            "pickled bamboo", "soft egg"), 1.0, 0.0, (-1, 0.7, 0, 0.4)),
    Cuisine("Indian", 7, 19, ("lamb curry", "lentil dal soup", "garlic naan", "paneer tikka",
            "biryani", "mango lassi"), 0.8, 0.1, (-1, 0.3, -0.1, 0.6)),
    Cuisine("Mexican", 6, 18, ("fish tacos", "guacamole", "enchiladas", "black bean soup",
            "ceviche", "churros"), 0.2, 0.6, (-1, 0.3, 0.1, 0.6)),
    Cuisine("French", 6, 42, ("onion soup", "duck confit", "steak frites", "tarte tatin",
            "mussels in cider", "cheese board"), 0.6, 0.1, (-1, 0.1, -0.3, 0.8)),
    Cuisine("Steakhouse", 5, 48, ("dry-aged ribeye", "beef tartare", "roast potatoes",
            "bone marrow", "pepper sauce", "creamed spinach"), 0.5, -0.1, (-1, -0.2, -0.6, 1.0)),
    Cuisine("Vegan", 6, 20, ("pumpkin bowl", "roasted cauliflower", "tofu larb", "green salad",
            "lentil stew", "beetroot carpaccio"), 0.3, 0.5, (0, 0.6, 0.2, 0.3)),
    Cuisine("Seafood", 5, 38, ("oysters", "grilled sea bass", "fish soup", "prawn salad",
            "crab rolls", "octopus"), 0.2, 0.6, (-1, 0.2, 0, 0.7)),
    Cuisine("Thai", 6, 20, ("green curry", "tom yum soup", "papaya salad", "pad thai",
            "coconut rice", "larb"), 0.6, 0.4, (-1, 0.5, 0, 0.5)),
    Cuisine("Café", 9, 11, ("sourdough toast", "poached eggs", "carrot cake", "flat white",
            "granola with berries", "toasted sandwiches"), 0.5, 0.2, (1.0, 0.4, 0.9, -0.9)),
    Cuisine("Ice cream parlour", 4, 8, ("pistachio ice cream", "lemon sorbet", "iced coffee",
            "waffles", "sundaes", "frozen yoghurt"), -0.8, 1.0, (-0.6, -0.3, 1.0, 0.1)),
    Cuisine("Burger", 7, 15, ("smash burger", "sweet potato fries", "milkshake", "pulled pork",
            "pickles", "halloumi burger"), 0.2, 0.1, (-1, 0.6, 0.2, 0.5)),
    Cuisine("Tavern", 8, 22, ("goulash soup", "roast pork", "dumplings", "mushroom stew",
            "potato salad", "plum cake"), 0.9, 0.0, (-0.8, 0.4, 0, 0.6)),
    Cuisine("Levantine", 8, 17, ("hummus", "falafel", "fattoush salad", "grilled lamb",
            "stuffed vine leaves", "baklava"), 0.2, 0.5, (-0.2, 0.6, 0.2, 0.5)),
)  # fmt: skip

DISTRICTS = {
    "Old Town": (0.0, 0.0),
    "Harbour": (-2.2, 1.6),
    "Station Quarter": (1.4, -1.2),
    "University": (0.8, 2.4),
    "Mill Island": (-1.2, -2.0),
    "Castle Hill": (2.8, 1.4),
    "Garden City": (-3.6, -1.0),
    "New Docks": (-3.4, 3.2),
    "South Market": (0.6, -3.8),
    "Lakeside": (4.2, -2.6),
}
"""District → its centre in km east and north of the city's centre."""

CENTRE = (50.0, 8.0)  # latitude and longitude of the made-up city
KM_PER_DEGREE = 111.2  # of latitude

FEATURES = ("terrace", "family_friendly", "quiet", "live_music", "vegetarian_menu")
FEATURE_SHARES = (0.35, 0.35, 0.3, 0.2, 0.4)
FEATURE_SENTENCES = (
    "It has a terrace for sunny days.",
    "Families are welcome, with high chairs and a play corner.",
    "Tables stand far apart, so it is quiet enough to talk.",
    "There is live music most evenings.",
    "The menu has a full vegetarian page.",
)

WEATHERS = ("sunny", "cloudy", "rain", "snow")
COMPANIES = ("alone", "couple", "friends", "family", "colleagues")
COMPANY_SHARES = (0.25, 0.25, 0.2, 0.15, 0.15)
COMPANY_FIT = (  # rows as COMPANIES, columns as FEATURES; utility of a feature in that company
    (0.0, -1.0, 0.8, -0.6, 0.0),
    (0.3, -1.4, 1.4, 0.2, 0.0),
    (0.4, -0.8, -1.0, 1.8, 0.0),
    (0.3, 2.6, -0.8, -0.8, 0.3),
    (0.0, -1.2, 1.2, -1.2, 0.3),
)

AGE_GROUPS = ("18-29", "30-44", "45-59", "60+")
AGE_BUDGETS = (16.0, 22.0, 28.0, 24.0)
"""Median bill a person that each age group is comfortable with, EUR."""

STYLES = (
    ("traditional", "modern"),
    ("cosy", "spacious"),
    ("playful", "refined"),
    ("rustic", "minimalist"),
)
"""Opposite ends of the latent dimensions of taste that cuisines do not cover."""

NAME_FIRST = (
    "Golden", "Blue", "Little", "Old", "Green", "Silver", "Red", "Quiet", "Lucky", "Northern",
    "Wild", "Copper", "Lazy", "Bright", "Iron", "Velvet", "Salted", "Hidden", "White", "Happy",
)  # fmt: skip
NAME_SECOND = (
    "Lantern", "Fork", "Garden", "Heron", "Kettle", "Anchor", "Olive", "Fox", "Table", "Bridge",
    "Pepper", "Spoon", "Cellar", "Orchard", "Sparrow", "Oven", "Mill", "Lemon", "Door", "Wagon",
)  # fmt: skip

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PRICE_WORDS = ("cheap", "moderate", "upmarket", "expensive")
PRICE_LIMITS = (14.0, 24.0, 38.0)
"""Bill a person in EUR at which the next price level begins."""
