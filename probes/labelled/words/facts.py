"""A small list of facts by relation: pairs of subject and object, and prompts to put them in."""

from typing import NamedTuple


class Relation(NamedTuple):
    """A relation and what is known of it; {} in a prompt is the subject, the object comes after."""

    name: str
    prompts: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


_COUNTRIES = """
France,Paris,Europe;Spain,Madrid,Europe;Portugal,Lisbon,Europe;Italy,Rome,Europe
Greece,Athens,Europe;Germany,Berlin,Europe;Austria,Vienna,Europe;Poland,Warsaw,Europe
Norway,Oslo,Europe;Sweden,Stockholm,Europe;Finland,Helsinki,Europe;Denmark,Copenhagen,Europe
Ireland,Dublin,Europe;Hungary,Budapest,Europe;Romania,Bucharest,Europe;Bulgaria,Sofia,Europe
Croatia,Zagreb,Europe;Serbia,Belgrade,Europe;Ukraine,Kyiv,Europe;Belgium,Brussels,Europe
Japan,Tokyo,Asia;China,Beijing,Asia;India,New Delhi,Asia;Thailand,Bangkok,Asia
Vietnam,Hanoi,Asia;Nepal,Kathmandu,Asia;Iran,Tehran,Asia;Iraq,Baghdad,Asia
Syria,Damascus,Asia;Jordan,Amman,Asia;Lebanon,Beirut,Asia;Pakistan,Islamabad,Asia
Mongolia,Ulaanbaatar,Asia;Laos,Vientiane,Asia;Cambodia,Phnom Penh,Asia;Bangladesh,Dhaka,Asia
Afghanistan,Kabul,Asia;Qatar,Doha,Asia;Egypt,Cairo,Africa;Kenya,Nairobi,Africa
Ghana,Accra,Africa;Nigeria,Abuja,Africa;Ethiopia,Addis Ababa,Africa;Morocco,Rabat,Africa
Algeria,Algiers,Africa;Tunisia,Tunis,Africa;Libya,Tripoli,Africa;Sudan,Khartoum,Africa
Uganda,Kampala,Africa;Rwanda,Kigali,Africa;Senegal,Dakar,Africa;Mali,Bamako,Africa
Zambia,Lusaka,Africa;Angola,Luanda,Africa;Namibia,Windhoek,Africa;Somalia,Mogadishu,Africa
Peru,Lima,South America;Chile,Santiago,South America;Argentina,Buenos Aires,South America
Colombia,Bogota,South America;Ecuador,Quito,South America;Uruguay,Montevideo,South America
Venezuela,Caracas,South America;Paraguay,Asuncion,South America;Canada,Ottawa,North America
Cuba,Havana,North America;Jamaica,Kingston,North America;Honduras,Tegucigalpa,North America
Nicaragua,Managua,North America
"""
_ELEMENTS = """
hydrogen H,helium He,lithium Li,beryllium Be,boron B,carbon C,nitrogen N,oxygen O,fluorine F
neon Ne,sodium Na,magnesium Mg,aluminium Al,silicon Si,phosphorus P,sulfur S,chlorine Cl
argon Ar,potassium K,calcium Ca,scandium Sc,titanium Ti,vanadium V,chromium Cr,manganese Mn
iron Fe,cobalt Co,nickel Ni,copper Cu,zinc Zn,gallium Ga,germanium Ge,arsenic As,selenium Se
bromine Br,krypton Kr,rubidium Rb,strontium Sr,yttrium Y,zirconium Zr,niobium Nb
molybdenum Mo,ruthenium Ru,rhodium Rh,palladium Pd,silver Ag,cadmium Cd,indium In,tin Sn
antimony Sb,tellurium Te,iodine I,xenon Xe,caesium Cs,barium Ba,tungsten W,rhenium Re
osmium Os,iridium Ir,platinum Pt,gold Au,mercury Hg,thallium Tl,lead Pb,bismuth Bi,radon Rn
radium Ra,uranium U
"""
_PAST = """
begin began,bite bit,blow blew,break broke,bring brought,build built,buy bought,catch caught
choose chose,come came,dig dug,do did,draw drew,drink drank,drive drove,eat ate,fall fell
feel felt,fight fought,find found,fly flew,forget forgot,freeze froze,get got,give gave
go went,grow grew,hang hung,hear heard,hide hid,hold held,keep kept,know knew,leave left
lend lent,lose lost,make made,meet met,pay paid,ride rode,ring rang,rise rose,run ran
say said,see saw,sell sold,send sent,shake shook,sing sang,sink sank,sit sat,sleep slept
speak spoke,stand stood,steal stole,swim swam,take took,teach taught,tear tore,tell told
think thought,throw threw,understand understood,wake woke,wear wore,win won,write wrote
"""
_OPPOSITES = """
hot cold,big small,tall short,old young,rich poor,happy sad,strong weak,fast slow,hard soft
light dark,wet dry,clean dirty,full empty,open closed,early late,high low,deep shallow
wide narrow,thick thin,rough smooth,loud quiet,brave cowardly,cheap expensive,true false
right wrong,easy difficult,near far,new ancient,safe dangerous,sweet bitter,sharp blunt
heavy weightless,alive dead,awake asleep,calm agitated,careful careless,polite rude
public private,guilty innocent,male female,future past,major minor,maximum minimum
natural artificial,permanent temporary,positive negative,simple complex,single married
tight loose,visible invisible,warm cool
"""


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    entries = text.strip().replace("\n", ",").split(",")
    return tuple((entry.split()[0], entry.split()[1]) for entry in entries)


_rows = [entry.split(",") for entry in _COUNTRIES.strip().replace("\n", ";").split(";")]

RELATIONS = (
    Relation(
        "capital of a country",
        ("The capital of {} is", "The seat of government of {} is", "{} is governed from")
        + ("On the map of {}, the capital is marked as",),
        tuple((country, capital) for country, capital, _ in _rows),
    ),
    Relation(
        "continent of a country",
        ("{} is a country in", "{} lies on the continent of", "Everyone born in {} was born in")
        + ("A traveller who is in {} is in",),
        tuple((country, continent) for country, _, continent in _rows),
    ),
    Relation(
        "symbol of an element",
        ("The chemical symbol of {} is", "In the periodic table, {} is written as")
        + ("Chemists abbreviate {} as", "The element {} has the symbol"),
        _pairs(_ELEMENTS),
    ),
    Relation(
        "past of a verb",
        ("The past tense of {} is", "Today they {}, yesterday they", "In the past, the verb {} is")
        + ("I {} now, and last week I",),
        _pairs(_PAST),
    ),
    Relation(
        "opposite of an adjective",
        ("The opposite of {} is", "What is not {} may be", "The word {} is the contrary of")
        + ("An antonym of {} is",),
        _pairs(_OPPOSITES),
    ),
)
