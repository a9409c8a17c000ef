"""Small lexicons of the tasks: people, things, verbs, and adjectives that praise or blame."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words("""
    farmer teacher doctor baker sailor painter lawyer driver singer dancer writer soldier pilot
    nurse judge gardener plumber waiter tailor barber butcher hunter miner porter clerk guard
    runner skater boxer drummer actor author editor banker broker builder carpenter chemist
    cleaner dentist
""")
"""Nouns whose plural adds an s, as it does with THINGS."""
MEN = _words("man boy king uncle father brother grandfather prince monk nephew son husband")
WOMEN = _words("woman girl queen aunt mother sister grandmother princess nun niece daughter wife")
THINGS = _words("""
    table lamp basket ticket letter bottle camera hammer ladder blanket pillow mirror button pencil
    notebook carpet bucket candle curtain drawer helmet jacket kettle locker magnet napkin paddle
    puzzle rocket saddle shovel tablet teapot medal violin wallet whistle window guitar scooter
""")

INTRANSITIVE = _words("sleep wait laugh smile sing dance swim work travel complain listen yawn")
"""Verbs whose third person adds an s."""
TRANSITIVE = _words("""
    followed helped called thanked visited trusted watched admired warned ignored praised blamed
    hired invited questioned rescued
""")
"""Past tense and participle are one form."""
ADVERBS = _words("today again here quietly often slowly")

GOOD = _words("""
    wonderful excellent delightful superb brilliant charming fantastic splendid marvellous lovely
    pleasant impressive outstanding beautiful enjoyable magnificent terrific admirable graceful
    thrilling perfect refreshing remarkable satisfying stunning touching uplifting witty flawless
    gorgeous
""")
BAD = _words("""
    terrible awful dreadful horrible disappointing boring ugly disgusting pathetic miserable
    unpleasant annoying tedious worthless clumsy dull hideous lousy appalling mediocre painful
    ridiculous shoddy tasteless tiresome atrocious unbearable useless vile wretched
""")
REVIEWED = _words("""
    film book meal concert hotel play song novel show trip lecture album exhibition restaurant
    game speech party museum dessert performance
""")

KINDS = {
    "animal": _words("dog horse rabbit lion zebra donkey camel tiger"),
    "fruit": _words("banana peach lemon melon mango pear grape cherry"),
    "tool": _words("hammer saw drill shovel wrench chisel rake spade"),
    "vehicle": _words("car truck bicycle tractor scooter van bus taxi"),
    "flower": _words("rose tulip daisy lily poppy violet peony dahlia"),
    "instrument": _words("guitar piano drum flute violin trumpet cello harp"),
}
"""Nouns under the noun that holds them all."""
