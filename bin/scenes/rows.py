"""What the scenes show: one row a scene or a pair, cells parted by a stroke, the place last."""

from __future__ import annotations

BESIDE = """
dog / red car / street
cat / house / field
horse / tree / field
boy / blue bicycle / street
girl / snowman / snow
sheep / cow / field
rabbit / fir tree / field
elephant / palm tree / desert
man / dog / night
woman / cat / room
apple / cup / table
book / lamp / table
umbrella / chair / beach
bus / green car / street
tent / palm tree / beach
duck / rabbit / field
white house / red house / field
green car / yellow car / street
flower / tree / field
blue ball / yellow ball / room
man / woman / park
boy / girl / snow
horse / elephant / desert
red flower / yellow flower / field
black cat / white cat / room
boat / lighthouse / beach
"""

COLOURED = """
ball / box / red / blue / room
car / house / white / green / street
cup / book / yellow / red / table
balloon / kite / red / green / sky
boat / umbrella / blue / orange / beach
bird / balloon / blue / pink / sky
chair / lamp / green / purple / room
apple / cup / red / green / table
bus / car / yellow / blue / street
tent / bicycle / orange / purple / park
flower / house / pink / yellow / field
hat / book / purple / green / table
cat / dog / black / white / room
horse / cow / white / brown / field
plane / balloon / red / yellow / sky
sofa / lamp / blue / orange / room
umbrella / ball / pink / green / beach
box / hat / yellow / red / room
fish / boat / orange / green / sea
kite / bird / purple / blue / sky
"""

ABOVE = """
bird / kite / sky
red balloon / yellow balloon / sky
moon / star / stars
hot-air balloon / plane / sky
blue kite / green kite / sky
red fish / yellow fish / water
bird / plane / sky
"""

STACKED = """
cup / book / table
ball / box / room
apple / book / table
red box / green box / room
cat / box / room
hat / book / table
blue book / orange book / table
"""

UNDER_TABLE = """
cat / dog / room
rabbit / cat / room
ball / box / room
duck / rabbit / room
red ball / blue ball / room
"""

CHASING = """
dog / chasing / cat / field
cat / chasing / duck / park
horse / chasing / cow / field
rabbit / chasing / dog / snow
sheep / chasing / elephant / desert
cow / chasing / dog / park
red car / following / blue car / street
bus / following / car / night
"""

SIZES = """
dog / cat / park
tree / house / field
ball / box / room
horse / cow / field
cup / apple / table
star / moon / stars
elephant / rabbit / desert
"""

BEHIND = """
house / tree / field
car / bus / street
horse / tree / field
cow / sheep / field
tent / fir tree / field
sofa / chair / room
snowman / house / snow
"""

COUNTS = """
apple / cup / two / three / table
ball / box / two / four / room
bird / kite / two / three / sky
sheep / cow / three / four / field
flower / tree / two / four / field
fish / boat / two / four / sea
balloon / star / three / four / stars
"""

WEARING = """
man / hat / coat / red / blue / street
woman / hat / dress / yellow / purple / park
girl / umbrella / dress / red / yellow / field
boy / hat / coat / green / orange / snow
snowman / hat / scarf / red / green / snow
woman / umbrella / dress / blue / pink / beach
"""

ALONE = {
    "beach": (
        "dog, black cat, palm tree, girl, elephant, white horse, lighthouse, red bicycle, orange tent, sheep, "
        "man, blue car, duck, white rabbit, pink ball, boy"
    ),
    "field": (
        "brown horse, cow, rabbit, red tree, yellow house, boy, pink flower, bus, orange cat, white sheep, "
        "green tent, woman, elephant, blue bicycle, black sheep"
    ),
    "snow": (
        "snowman, fir tree, dog, blue house, purple car, man, grey rabbit, yellow bus, horse, green ball, red "
        "chair, black cat, orange umbrella, girl"
    ),
    "street": (
        "bus, red car, yellow bicycle, woman, white cat, black dog, purple house, boy, elephant, orange ball, "
        "brown horse, green umbrella, girl"
    ),
    "night": (
        "cat, blue bus, yellow car, man, white dog, girl, green bicycle, pink umbrella, rabbit, orange house, "
        "white horse, red ball, woman, purple tent"
    ),
    "room": (
        "sofa, yellow chair, lamp, cat, red balloon, green box, boy, dog, blue umbrella, pink hat, cake, "
        "white rabbit, woman, green lamp"
    ),
    "table": (
        "red apple, yellow cup, blue book, cake, green hat, orange ball, purple box, pink flower, white cat, "
        "lamp, green apple, purple cup, red book, white rabbit"
    ),
    "sky": (
        "plane, hot-air balloon, yellow kite, red bird, green balloon, cloud, blue balloon, orange plane, "
        "pink kite, orange hot-air balloon, white bird, red plane"
    ),
    "stars": (
        "moon, star, hot-air balloon, white plane, red kite, cloud, purple balloon, green kite, pink balloon, "
        "yellow hot-air balloon, blue plane"
    ),
    "sea": (
        "red boat, green boat, yellow duck, purple boat, white boat, orange ball, black boat, pink boat, "
        "white duck, blue boat"
    ),
    "water": (
        "orange fish, red fish, purple fish, yellow boat, green fish, pink fish, black fish, red ball, white "
        "fish, red boat, yellow fish"
    ),
    "desert": (
        "elephant, palm tree, white tent, horse, red car, man, blue bicycle, cow, black cat, purple bus, "
        "sheep, woman, yellow umbrella"
    ),
    "park": (
        "dog, yellow bicycle, girl, horse, red umbrella, rabbit, white duck, man, green car, black horse, "
        "purple hat, elephant, blue chair, pink bicycle"
    ),
}

EMPTY = {
    "beach": "waves rolling onto an empty beach",
    "field": "green hills and daisies under a summer sky",
    "snow": "snow falling on small fir trees and white hills",
    "street": "colourful houses along an empty road by day",
    "night": "lit windows of a sleeping town under the crescent moon",
    "room": "an empty room with a window and striped wallpaper",
    "water": "bubbles rising between water plants",
    "desert": "a cactus among sand dunes",
    "park": "golden and red trees in autumn",
    "sea": "nothing but waves out at sea",
}

WEATHER = """
blue bus / rain / street
red umbrella / rain / park
duck / rain / field
orange car / rain / night
white boat / rain / sea
house / rainbow / field
red boat / rainbow / sea
yellow tent / rainbow / field
elephant / rainbow / desert
"""

MANY = """
white sheep / a flock of five sheep grazing / field
red balloon / five red balloons flying away / sky
orange fish / a shoal of five goldfish swimming / water
yellow duck / a family of five yellow ducks walking / park
blue bird / a flock of five blue birds flying / sky
white boat / a regatta of five sailing boats / sea
tree / an orchard of five green trees / field
pink flower / five pink flowers growing / field
star / five big stars shining / stars
purple tent / a camp of five purple tents / desert
"""
