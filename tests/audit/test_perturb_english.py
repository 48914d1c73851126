from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlsearch.audit.perturb import english

FOREIGN = {
    "German": [
        "ein Hund jagt einen Ball",
        "Zwei Kinder spielen im Sand.",
        "Eine Frau steht in der Küche und kocht",
        "Blick vom Turm auf die Altstadt",
        "Der alte Mann sitzt auf einer Bank im Park.",
    ],
    "Spanish": [
        "un perro en la playa",
        "Una mujer come una manzana roja.",
        "Dos hombres juegan al fútbol",
        "El gato duerme sobre la mesa de la cocina",
        "Niños corriendo por la calle",
    ],
    "French": [
        "un chien court après une balle",
        "Deux enfants jouent dans la neige.",
        "Une femme en robe rouge devant une maison",
        "le chat dort sur le canapé",
        "Vue de la plage au coucher du soleil",
    ],
    "Italian": [
        "un cane sulla spiaggia",
        "Due bambini giocano nel parco.",
        "Una donna mangia una mela",
        "Il gatto dorme sul divano rosso",
        "uomo in bicicletta davanti alla chiesa",
    ],
    "Dutch": [
        "een hond rent over het strand",
        "Twee kinderen spelen in de sneeuw.",
        "Een vrouw met een rode jas staat op de brug",
        "de kat slaapt op de bank",
        "Oude man drinkt koffie in de keuken",
    ],
    "Portuguese": [
        "um cachorro correndo na praia",
        "Duas crianças brincam no parque.",
        "Uma mulher segura um guarda-chuva vermelho",
        "o gato dorme em cima da mesa",
        "Homem andando de bicicleta na rua",
    ],
    "Polish": [
        "pies biegnie po plaży",
        "Dwoje dzieci bawi się w śniegu.",
        "Kobieta w czerwonej sukience stoi przed domem",
        "kot śpi na kanapie",
        "Stary człowiek siedzi na ławce w parku",
    ],
    "Swedish": [
        "en hund springer på stranden",
        "Två barn leker i snön.",
        "En kvinna i röd jacka står på bron",
        "katten sover på soffan",
        "Gammal man dricker kaffe i köket",
    ],
}
"""what the share of unknown words was chosen with"""

FOREIGN_UNSEEN = {
    "Danish": [
        "en mand går en tur med sin hund",
        "to børn leger på stranden",
        "en rød bil foran huset",
        "katten ligger i vinduet",
        "solnedgang over havet",
    ],
    "Finnish": [
        "koira juoksee rannalla",
        "kaksi lasta leikkii lumessa",
        "vanha mies istuu penkillä",
        "punainen auto talon edessä",
        "kissa nukkuu sohvalla",
    ],
    "Czech": [
        "pes běží po pláži",
        "dvě děti si hrají ve sněhu",
        "žena v červených šatech",
        "kočka spí na pohovce",
        "starý muž pije kávu",
    ],
    "Turkish": [
        "sahilde koşan bir köpek",
        "iki çocuk karda oynuyor",
        "kırmızı elbiseli bir kadın",
        "kedi kanepede uyuyor",
        "parkta oturan yaşlı adam",
    ],
    "Romanian": [
        "un câine aleargă pe plajă",
        "doi copii se joacă în zăpadă",
        "o femeie în rochie roșie",
        "pisica doarme pe canapea",
        "un bărbat bea cafea",
    ],
    "Hungarian": [
        "egy kutya fut a parton",
        "két gyerek játszik a hóban",
        "egy nő piros ruhában",
        "a macska alszik a kanapén",
        "egy öreg férfi ül a padon",
    ],
    "Indonesian": [
        "seekor anjing berlari di pantai",
        "dua anak bermain di taman",
        "seorang wanita memakai baju merah",
        "kucing tidur di sofa",
        "pria tua minum kopi",
    ],
    "others": [
        "ein Junge springt ins Wasser",
        "vista de la ciudad desde el puerto",
        "plage au bord de la mer",
        "il sole tramonta sul mare",
        "een rode auto voor het huis",
    ],
}
"""written before the choice was tried on them"""

OTHER_SCRIPTS = [
    "собака на пляже",
    "σκύλος στην παραλία",
    "كلب على الشاطئ",
    "כלב על החוף",
    "कुत्ता",
    "犬",
    "ビーチの犬",
    "沙滩上的狗",
    "해변의 개",
]


@pytest.mark.parametrize(
    "text",
    [
        "dog",
        "a dachshund in Berlin",
        "two zebras grazing",
        "A TWO-YEAR-OLD'S BIRTHDAY",
        "café in Paris",
        "Ma\u0301laga beach",
        "ｄｏｇ ｏｎ ｔｈｅ ｂｅａｃｈ",
        "a sign that says 犬 in front of a house",
        "IMG",
        "IMG_2033",
        "Anna and Peter",
        "🐶",
        "1234",
        "",
        "\ud800",
    ],
)
def test_english(text: str) -> None:
    assert english(text)


@pytest.mark.parametrize("text", OTHER_SCRIPTS)
def test_other_scripts(text: str) -> None:
    assert not english(text)


def test_other_languages() -> None:
    captions = [text for texts in (FOREIGN, FOREIGN_UNSEEN) for language in texts.values() for text in language]
    missed = [text for text in captions if english(text)]
    assert len(captions) == 80
    assert missed == ["Zwei Kinder spielen im Sand."]


def test_real_captions_are_english(shared: Path) -> None:
    folder = shared / "data" / "captions"
    coco = [a["caption"] for a in json.loads((folder / "coco_captions_val2017.json").read_text("utf-8"))["annotations"]]
    flickr = [line.split("\t")[1] for line in (folder / "Flickr8k.token.txt").read_text("utf-8").splitlines()]
    assert sum(not english(text) for text in coco) / len(coco) < 0.0005
    assert sum(not english(text) for text in flickr) / len(flickr) < 0.0005


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert english(text) in (True, False)
