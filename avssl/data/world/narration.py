"""What a narrator says about a clip, as a speech recognizer would have written it: late, early, and with errors."""

from typing import Any

import numpy as np

from avssl.data.world.motion import MANNERS
from avssl.data.world.scene import Scene, Thing

NAMES = {
    "bell": ("bell", "chime"),
    "drum": ("drum", "tom"),
    "guitar": ("guitar", "banjo"),
    "siren": ("siren", "alarm"),
    "bird": ("bird", "robin", "sparrow"),
    "engine": ("engine", "motor", "machine"),
    "rain": ("rain", "shower", "cloud"),
    "clock": ("clock", "timer"),
    "whistle": ("whistle", "pipe"),
    "dog": ("dog", "puppy", "hound"),
    "horn": ("horn", "trumpet", "bugle"),
    "bee": ("bee", "wasp", "hornet"),
}
SOUNDING = {
    "bell": "rings",
    "drum": "booms",
    "guitar": "plays",
    "siren": "wails",
    "bird": "sings",
    "engine": "rumbles",
    "rain": "pours",
    "clock": "ticks",
    "whistle": "blows",
    "dog": "barks",
    "horn": "honks",
    "bee": "buzzes",
}
MOVING = {"swing": "swings", "squash": "bounces", "pulse": "grows", "jump": "jumps", "shake": "shakes"}
HEARD = (
    "the {name} {sound} {place}",
    "listen to the {name} {place}",
    "{place} the {name} {sound} and {move}",
    "now you can hear the {name}",
    "here is a {name} and it {sound}",
    "that {name} {place} {sound} again",
)
SEEN = (
    "the {name} {move} {place}",
    "look at the {name} {place}",
    "{place} there is a {name}",
    "here you see a {name} and it {move}",
)
ELSEWHERE = (
    "welcome back everyone",
    "thanks for watching my video",
    "we will start again tomorrow",
    "it was cold this morning",
    "please remember to call your mother",
    "i had soup for lunch",
    "so what do you think",
    "my friend lives by the sea",
    "we painted the kitchen last summer",
)
# How a recognizer mishears: words that sound alike.
MISHEARD = {
    "bell": "bail",
    "chime": "time",
    "drum": "dumb",
    "tom": "tall",
    "siren": "silent",
    "bird": "burnt",
    "rain": "rein",
    "clock": "block",
    "whistle": "wrestle",
    "dog": "fog",
    "horn": "corn",
    "bee": "be",
    "hear": "here",
    "here": "hear",
    "sea": "see",
    "see": "sea",
    "right": "write",
    "there": "their",
    "the": "a",
    "to": "two",
}
WORD_SECONDS = 0.24
JITTER_SECONDS = 0.5
ERROR_RATE = 0.08
ELSEWHERE_SHARE = 0.375  # of the sentences after the first, which is always about what is seen: a quarter of all


def place_words(x: float, y: float) -> str:
    """Where a point of the picture is, in words; x and y are fractions, y downwards."""
    if max(abs(x - 0.5), abs(y - 0.5)) < 0.12:
        return "in the middle"
    if abs(x - 0.5) >= abs(y - 0.5):
        return "on the left" if x < 0.5 else "on the right"
    return "at the top" if y < 0.5 else "at the bottom"


def narrate(scene: Scene) -> list[dict[str, Any]]:
    """Two to four sentences, in order of time.

    Each is {start, end, text, said, true_time, kind, words}: text is what was written down, said what was spoken,
    true_time the moment it is about (seconds), kind None for a sentence about nothing visible, and words the written
    words with their own start and end.
    """
    rng = scene.rng("narration")
    leads = [thing for thing in scene.things if thing.sounding] or list(scene.things)
    sentences = []
    for k in range(int(rng.integers(2, 5))):
        if k and rng.random() < ELSEWHERE_SHARE:
            spoken, kind, moment = str(rng.choice(ELSEWHERE)), None, float(rng.uniform(0, scene.seconds))
        else:
            about = leads if k < len(leads) or rng.random() < 0.6 else scene.things
            thing = about[k % len(about)] if k < len(leads) else about[int(rng.integers(len(about)))]
            moment = thing.onsets[int(rng.integers(len(thing.onsets)))][0]
            spoken, kind = _describe(thing, moment, scene, rng), thing.kind
        sentences.append(_write_down(spoken, kind, moment, scene, rng))
    return sorted(sentences, key=lambda sentence: sentence["start"])


def _describe(thing: Thing, moment: float, scene: Scene, rng: np.random.Generator) -> str:
    x0, y0, x1, y1 = thing.boxes[min(int(moment * scene.fps), len(thing.boxes) - 1)]
    return str(rng.choice(HEARD if thing.sounding else SEEN)).format(
        name=rng.choice(NAMES[thing.kind]),
        sound=SOUNDING[thing.kind],
        move=MOVING[MANNERS[thing.kind]],
        place=place_words((x0 + x1) / 2, (y0 + y1) / 2),
    )


def _write_down(spoken: str, kind: str | None, moment: float, scene: Scene, rng: np.random.Generator) -> dict[str, Any]:
    said = spoken.split()
    pace = WORD_SECONDS * rng.uniform(0.85, 1.15)
    length = pace * len(said)
    middle = moment + rng.normal(0, JITTER_SECONDS)
    begin = float(np.clip(middle - length / 2, 0, max(scene.seconds - length, 0)))
    pace = min(length, scene.seconds) / len(said)
    words: list[dict[str, Any]] = []
    for k, word in enumerate(said):
        start, end = begin + k * pace, begin + (k + 1) * pace
        if rng.random() >= ERROR_RATE:
            written = [word]
        elif word in MISHEARD and rng.random() < 0.6:
            written = [MISHEARD[word]]
        else:
            written = [word, word] if rng.random() < 0.5 or len(said) < 3 else []
        for n, text in enumerate(written):
            share = (end - start) / len(written)
            words.append({"text": text, "start": round(start + n * share, 3), "end": round(start + (n + 1) * share, 3)})
    if not words:
        words = [{"text": said[0], "start": round(begin, 3), "end": round(begin + pace, 3)}]
    return {
        "start": round(begin, 3),
        "end": round(begin + pace * len(said), 3),
        "text": " ".join(word["text"] for word in words),
        "said": spoken,
        "true_time": round(moment, 3),
        "kind": kind,
        "words": words,
    }
