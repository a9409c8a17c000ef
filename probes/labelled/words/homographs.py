"""Homographs, two senses each, and fourteen or fifteen nouns that are at home with one of them."""

import re
from typing import NamedTuple


class Homograph(NamedTuple):
    """A word, and the nouns that tell its senses apart; the first sense is label 1."""

    word: str
    senses: tuple[str, str]
    cues: tuple[tuple[str, ...], tuple[str, ...]]


_TABLE = """
bank
| money: loan teller vault deposit cashier mortgage cheque savings credit account currency
  dollar robber interest invoice
| river: mud reed otter current ferry angler trout willow bridge shore flood canoe marsh heron
  stream
bat
| animal: cave wing owl vampire insect night fang moth roost echo rabies claw mammal fur attic
| sport: ball pitch inning umpire glove batter stadium league helmet score cricket player coach
  bowler team
crane
| bird: heron nest feather wetland egg beak flock stork marsh migration wing pond chick reed
  plumage
| machine: cargo hook cable concrete engine scaffold steel tower dock builder load operator
  girder bulldozer container
spring
| season: blossom tulip lamb daffodil thaw robin sowing bud meadow pollen winter petal nestling
  sprout
| coil: steel tension bolt lever mattress clock screw piston wire hinge metal trap mechanism
  suspension rebound
seal
| animal: fish whale walrus ice penguin flipper whisker ocean blubber shark iceberg beach pup
  harpoon arctic
| stamp: wax letter envelope signature king document emblem parchment ribbon ring notary decree
  treaty authority scroll
pitcher
| jug: water lemonade glass handle spout juice milk cup jar basin vase kitchen clay tray wine
| player: catcher inning strike glove batter mound fastball stadium league umpire coach bullpen
  ballpark uniform score
mouse
| animal: cheese cat trap tail hole owl whisker barn rat squeak grain hawk fur rodent burrow
| device: keyboard screen cursor laptop cable click printer desktop monitor button scroll
  computer software wireless menu
bark
| tree: trunk oak branch root leaf forest wood birch moss lumber beetle cork twig sap pine
| dog: puppy growl leash kennel howl collar snarl terrier whine poodle beagle tail guard hound
  paw
match
| fire: candle flame lighter smoke stove cigarette ash fuse fireplace torch spark matchbox
  lantern burn fuel
| game: referee goal team stadium tennis whistle penalty opponent score coach league racket fan
  trophy umpire
palm
| tree: coconut beach island oasis tropics sand monkey lagoon fern trunk desert date jungle
  cactus banana
| hand: finger thumb wrist knuckle fist nail elbow skin glove grip arm handshake bracelet
  gesture sleeve
nail
| finger: thumb toe polish manicure skin knuckle cuticle hand glove varnish file lotion wrist
  salon scissors
| tool: hammer plank wall screw wood carpenter saw drill roof board ladder bolt toolbox shelf
  fence
organ
| music: church hymn choir pipe pedal chapel bach keyboard piano melody chord cathedral concert
  psalm anthem
| body: liver kidney heart lung surgeon donor transplant stomach blood brain patient tissue
  spleen artery hospital
plant
| factory: worker boiler smokestack shift machine steel engineer turbine assembly union conveyor
  foreman furnace waste reactor
| botany: leaf root soil flower seed pot garden stem sunlight petal greenhouse fern moss weed
  pollen
cell
| prison: guard inmate bar warden sentence lock bunk escape thief jail handcuff crime judge
  parole corridor
| biology: nucleus membrane protein enzyme bacteria microscope tissue virus gene chromosome
  organism plasma neuron embryo hormone
club
| golf: caddie green hole tee putter fairway ball swing bunker birdie iron grass glove driver
  course
| dance: music dj crowd dance bouncer bar cocktail stage party band nightlife lights speaker
  cover vip
ring
| jewel: diamond gold wedding necklace bride finger jeweller sapphire engagement bracelet
  emerald silver pearl groom gem
| boxing: glove boxer punch rope referee round knockout fighter champion bell opponent corner
  trainer jab belt
jam
| fruit: toast strawberry butter jar sugar breakfast scone bread raspberry spoon apricot honey
  marmalade lid peach
| traffic: car lorry horn highway bus junction driver queue accident roadworks detour commuter
  bumper tunnel motorway
trunk
| elephant: tusk ear savanna zoo ivory hide herd calf mahout circus safari rhino foot mammoth
  peanut
| car: luggage tyre bumper suitcase key driver wheel taxi engine seat garage jack toolkit mirror
  petrol
"""


def _parsed(entry: str) -> Homograph:
    word, *senses = (part.strip() for part in entry.split("|"))
    (first, ours), (second, theirs) = (sense.split(": ") for sense in senses)
    return Homograph(word, (first, second), (tuple(ours.split()), tuple(theirs.split())))


_ENTRIES = re.split(r"\n(?=[a-z])", _TABLE.strip())
HOMOGRAPHS = tuple(_parsed(entry) for entry in _ENTRIES)
