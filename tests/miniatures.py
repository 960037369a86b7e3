"""Miniatures of the data sets that the shipped configs read: made-up rows in the same files and columns.

``python tests/miniatures.py FOLDER`` writes them all, each into a folder of its own. No example is in two splits but
for a few, which are in training and test: the originals have such ones too.
"""

import gzip
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from PIL import Image

from experiments.data.recipes.rooms import convert as rendered

SPLITS: Mapping[str, range] = {"train": range(320), "dev": range(320, 360), "test": range(312, 372)}
NAMES = ["".join(syllables) for syllables in product(("ba", "do", "fi", "ku", "le", "mo", "ni", "ra"), repeat=3)]
"""A made-up word for every number of an example."""

INTENTS = {
    "AddToPlaylist": "add */B-artist to my/B-playlist_owner summer/B-playlist mix/I-playlist",
    "BookRestaurant": "book a table at */B-restaurant_name for four/B-party_size_number",
    "GetWeather": "will it rain/B-condition_description in */B-city",
    "PlayMusic": "play */B-album by miles/B-artist davis/I-artist",
    "RateBook": "rate */B-object_name four/B-rating_value stars/B-rating_unit",
    "SearchCreativeWork": "find the show/B-object_type */B-object_name",
    "SearchScreeningEvent": "when is */B-movie_name on at the cinema/B-location_name next door/B-spatial_relation",
}
"""Intent → words, each with its slot (none: O); ``*`` is the example's own word."""
REQUESTS = (  # text, intent, domain
    ("what is my balance at", "balance", "banking"),
    ("transfer ten dollars to", "transfer", "banking"),
    ("book a flight to", "book_flight", "travel"),
    ("how tall is", "oos", "oos"),
)
GENRES = ("answers", "email", "newsgroup", "reviews", "weblog")
WORDS = (  # form, upos, xpos, feats, ner
    ("The", "DET", "DT", "Definite=Def|PronType=Art", "O"),
    ("old", "ADJ", "JJ", "Degree=Pos", "O"),
    ("*", "NOUN", "NN", "Number=Sing", "O"),
    ("met", "VERB", "VBD", "Mood=Ind|Tense=Past", "O"),
    ("Ada", "PROPN", "NNP", "Number=Sing", "B-PER"),
    ("Lovelace", "PROPN", "NNP", "Number=Sing", "I-PER"),
    ("in", "ADP", "IN", "_", "O"),
    ("Paris", "PROPN", "NNP", "Number=Sing", "B-LOC"),
    (".", "PUNCT", ".", "_", "O"),
)
ARCS = (
    (3, "det"),
    (3, "amod"),
    (4, "nsubj"),
    (0, "root"),
    (4, "obj"),
    (5, "flat"),
    (8, "case"),
    (4, "obl"),
    (4, "punct"),
)
"""Head and relation of each of these words; a preposition that ends a sentence hangs on its verb."""
DOMAINS = ("tweets", "movie", "amazon", "nyt")
EKMAN = {
    "anger": ["anger", "annoyance", "disapproval"],
    "disgust": ["disgust"],
    "fear": ["fear", "nervousness"],
    "joy": [
        *("joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief", "pride"),
        *("admiration", "desire", "caring"),
    ],
    "sadness": ["sadness", "disappointment", "embarrassment", "grief", "remorse"],
    "surprise": ["surprise", "realization", "confusion", "curiosity"],
    "neutral": ["neutral"],
}
ENTAILMENT = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")
ASSAYS = (
    *("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma"),
    *("SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"),
)


def snips(folder: Path) -> None:
    """A sentence with its intent and the slots of its words, a line of JSON each."""
    for split, numbers in SPLITS.items():
        _write(folder / f"{split}.jsonl", (json.dumps(_request(number)) + "\n" for number in numbers))


def _request(number: int) -> dict[str, object]:
    intent = list(INTENTS)[number % len(INTENTS)]
    words = [word.partition("/") for word in INTENTS[intent].split()]
    tokens = [NAMES[number] if token == "*" else token for token, _, _ in words]
    return {"tokens": tokens, "slots": [slot or "O" for _, _, slot in words], "intent": intent}


def clinc150(folder: Path) -> None:
    """Requests with their intent and its domain, some of them out of scope."""
    for split, numbers in SPLITS.items():
        rows = [(f"{REQUESTS[n % 4][0]} {NAMES[n]}", *REQUESTS[n % 4][1:]) for n in numbers]
        _write(folder / f"{split}.tsv", _table(("text", "intent", "domain"), rows))


def ud_ewt(folder: Path) -> None:
    """Sentences of four to nine words, a word a line, with their genre in a comment."""
    for split, numbers in SPLITS.items():
        _write(folder / f"{split}.conll.gz", (_sentence(number) for number in numbers))


def _sentence(number: int) -> str:
    genre = GENRES[number % len(GENRES)]
    words = [(form.replace("*", NAMES[number]), *tags) for form, *tags in WORDS[: 4 + number % 6]]
    lines = [f"# sent_id = {genre}-{number:04}", f"# genre = {genre}", *("\t".join(word) for word in words)]
    return "\n".join(lines) + "\n\n"


def ud_ewt_dep(folder: Path) -> None:
    """The same sentences with the head and the relation of each word."""
    for split, numbers in SPLITS.items():
        _write(folder / f"{split}.conll.gz", (_parsed(number) for number in numbers))


def _parsed(number: int) -> str:
    words = WORDS[: 4 + number % 6]
    lines = [f"# sent_id = {GENRES[number % len(GENRES)]}-{number:04}"]
    for (form, upos, *_), (head, relation) in zip(words, ARCS, strict=False):
        head = head if head <= len(words) else 4
        lines.append(f"{form.replace('*', NAMES[number])}\t{upos}\t{head}\t{relation}")
    return "\n".join(lines) + "\n\n"


def vader(folder: Path) -> None:
    """Four domains: texts with a score and the name of their split."""
    for domain in DOMAINS:
        rows = [
            (number, split, f"{number % 81 / 10 - 4:.2f}", f"The {domain} of {NAMES[number]}{'!' * (number % 4)}")
            for split, numbers in SPLITS.items()
            for number in numbers
        ]
        _write(folder / f"{domain}.tsv.gz", _table(("id", "split", "score", "text"), rows))


def goemotions(folder: Path) -> None:
    """Comments with one emotion or two, and which ones Ekman's seven stand for."""
    emotions = sorted(emotion for group in EKMAN.values() for emotion in group)
    for split, numbers in SPLITS.items():
        rows = [
            (f"So {NAMES[n]}, isn't it?", ",".join(dict.fromkeys((emotions[n % 28], emotions[n // 3 % 28]))))
            for n in numbers
        ]
        _write(folder / f"{split}.tsv.gz", _table(("text", "labels"), rows))
    _write(folder / "ekman_mapping.json", [json.dumps(EKMAN, indent=1)])
    _write(folder / "labels.txt", (f"{emotion}\n" for emotion in emotions))


def tox21(folder: Path) -> None:
    """Molecules in SMILES; each assay lacks some of them, and finds a third active."""
    draw = Random(0)
    rows = [
        (f"{'C' * (1 + number % 17)}{draw.choice(['O', 'N', 'Cl', '(=O)O', 'c1ccccc1'])}", *draw.choices("001 ", k=12))
        for number in range(400)
    ]
    _write(folder / "all.tsv.gz", _table(("smiles", *ASSAYS), ([cell.strip() for cell in row] for row in rows)))


def emoji2(folder: Path) -> None:
    """Two mosaics, of which a tile's colour says its group, in two shades of it."""
    colours = {"Red": (255, 0, 0), "Green": (0, 160, 0), "Blue": (0, 0, 255)}
    rows = [(split, n % 3) for split, size in (("train", 24), ("dev", 12), ("test", 12)) for n in range(size)]
    for style, shade in (("google", 0), ("twitter", 90)):
        mosaic = Image.new("RGB", (64 * 32, 32))
        for n, (_, colour) in enumerate(rows):
            mosaic.paste(
                tuple(max(each, shade) for each in list(colours.values())[colour]), (32 * n, 0, 32 * n + 32, 32)
            )
        folder.mkdir(parents=True, exist_ok=True)
        mosaic.save(folder / f"{style}.jpg")
    names = ("index", "emoji", "name", "has_skin_tones", "group", "subgroup", "split")
    table = [
        (str(n), f"1f{n}", NAMES[n], "0", list(colours)[c], f"{list(colours)[c].lower()}-{n % 2}", split)
        for n, (split, c) in enumerate(rows)
    ]
    _write(folder / "labels.tsv", _table(names, table))


def fsdd(folder: Path) -> None:
    """Tones, of which the pitch says the digit and the loudness the speaker, one file a speaker."""
    rows, length = [], 800
    for loudness, speaker in enumerate(("george", "theo"), 1):
        sounds = []
        for number, split in enumerate(["train"] * 16 + ["dev"] * 8 + ["test"] * 8):
            pitch = 400 * (1 + number % 4)
            sounds.append(np.sin(2 * np.pi * pitch * np.arange(length) / 8000) * loudness / 3)
            rows.append((speaker, str(number % 4), str(number), str(number * length), str(length), split))
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{speaker}.flac", np.concatenate(sounds), 8000)
    _write(folder / "index.tsv", _table(("speaker", "digit", "index", "start", "length", "split"), rows))


def crossre(folder: Path) -> None:
    """Sentences of four domains with their entities, and what relates those."""
    for domain in ("ai", "news", "politics", "science"):
        for split, numbers in SPLITS.items():
            path = folder / f"{domain}-{split}.jsonl.gz"
            _write(path, (json.dumps(_related(domain, number)) + "\n" for number in numbers[::8]))


def _related(domain: str, number: int) -> dict[str, object]:
    tokens = ["Ada", "Lovelace", "of", NAMES[number], "met", "Paris", "."]
    entities = [{"start": 0, "end": 1, "type": "person"}, *({"start": n, "end": n, "type": "country"} for n in (3, 5))]
    relations = [
        {"head": [0, 1], "tail": [3, 3], "type": "origin"},
        {"head": [0, 1], "tail": [5, 5], "type": "physical"},
        *([{"head": [0, 1], "tail": [5, 5], "type": "topic"}] if number % 3 else []),
    ]
    return {"doc_key": f"{domain}-{number}", "tokens": tokens, "entities": entities, "relations": relations}


def sick(folder: Path) -> None:
    """Pairs of sentences, how related they are from 1 to 5, and whether the first entails the second."""
    for split, numbers in SPLITS.items():
        rows = [
            (
                n,
                f"A {NAMES[n]} is red",
                f"A {NAMES[n + n % 3]} is {'not ' * (n % 2)}red",
                1 + n % 9 / 2,
                ENTAILMENT[n % 3],
            )
            for n in numbers
        ]
        _write(
            folder / f"{split}.tsv", _table(("pair_id", "sentence_a", "sentence_b", "relatedness", "entailment"), rows)
        )


def codah(folder: Path) -> None:
    """Sentences with four endings, the number of the right one, and a fold."""
    rows = [
        {
            "id": n,
            "fold": n % 5,
            "prompt": f"The {NAMES[n]} is thirsty. It",
            "choices": [f"{verb} the {NAMES[n + i]}." for i, verb in enumerate(("drinks", "reads", "rides", "sells"))],
            "label": n % 4,
        }
        for n in range(120)
    ]
    _write(folder / "all.jsonl", (json.dumps(row) + "\n" for row in rows))


def policyqa(folder: Path) -> None:
    """Questions on privacy policies: answers that stand in a context, and what practice is asked about."""
    for split, numbers in SPLITS.items():
        _write(folder / f"{split}.jsonl.gz", (json.dumps(_asked(number)) + "\n" for number in numbers))


def _asked(number: int) -> dict[str, object]:
    practice = ("First Party Collection/Use", "Data Retention", "Policy Change")[number % 3]
    said = f"Your {NAMES[number]} is kept for {number % 9 + 1} days."
    context = f"This policy is of {NAMES[number]}. {said} Write to us."
    answers = [{"start": context.index(said), "text": said}] if number % 7 else []
    return {"question": f"What about {practice.lower()}?", "context": context, "answers": answers, "practice": practice}


def rnnlg(folder: Path) -> None:
    """What to say in four domains, as meaning representations, and sentences that say it."""
    for domain in ("restaurant", "hotel", "laptop", "tv"):
        for split, numbers in SPLITS.items():
            rows = (_said(domain, number) for number in numbers[::4])
            _write(folder / f"{domain}-{split}.jsonl.gz", (json.dumps(row) + "\n" for row in rows))


def _said(domain: str, number: int) -> dict[str, str]:
    price, name = ("cheap", "dear")[number % 2], f"{NAMES[number]} {number % 9 + 1}"
    if number % 5 == 0:
        return {"mr": "?request(pricerange)", "act": "?request", "text": f"how much may the {domain} cost ?"}
    mr = f"inform(name='{name}';type={domain};pricerange={price})"
    return {"mr": mr, "act": "inform", "text": f"{name} is a {price} {domain}"}


def rooms(folder: Path) -> None:
    """Rendered rooms: images, classes, depth and surface normals."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in rendered({"train": 8, "dev": 4, "test": 4}):
        (folder / name).write_bytes(content)


def omniglot_small(folder: Path) -> None:
    """Characters: a few drawers of each, in the alphabets of the two small sets."""
    folder.mkdir()
    alphabets = {
        "small1": ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"),
        "small2": ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"),
    }
    for number, (name, names) in enumerate(alphabets.items()):
        draw = np.random.default_rng(number)
        character = np.repeat(np.arange(30), 8)
        drawn = draw.integers(0, 2, (30, 7, 7)).repeat(4, 1).repeat(4, 2)[character] * 200
        np.savez(
            folder / f"{name}.npz",
            images=(drawn + draw.integers(0, 50, drawn.shape)).astype(np.uint8),
            alphabet=(character // 6).astype(np.uint8),
            character=character.astype(np.int16),
            alphabet_names=np.array(names),
            character_names=np.array([f"{names[i // 6]}/character{i % 6}" for i in range(30)]),
        )


def nyuv2(folder: Path) -> None:
    """Photographs as people pass them around, preprocessed: an array for each image and kind of label."""
    random = np.random.default_rng(0)
    for split, number in (("train", 8), ("val", 4)):
        for index in range(number):
            valid = random.random((12, 16, 1)) < 0.8
            arrays = {
                "image": random.random((12, 16, 3), np.float32),
                "label": np.where(valid[..., 0], random.integers(0, 13, (12, 16)), -1).astype(np.float32),
                "depth": (valid * random.uniform(1, 9, (12, 16, 1))).astype(np.float32),
                "normal": (valid * random.uniform(-1, 1, (12, 16, 3))).astype(np.float32),
            }
            for kind, array in arrays.items():
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                np.save(folder / split / kind / f"{index}.npy", array)


def feedlog(folder: Path) -> None:
    """Impressions of a feed: what is known of each, and what became of it."""
    known = ("user", "item", "age", "city", "device", "category", "brand", "price_decile", "position", "hour")
    rows = [
        (split, *((n * place) % (3 + place) for place, _ in enumerate(known, 1)), *_became(n))
        for split, numbers in SPLITS.items()
        for n in numbers
    ]
    _write(folder / "log.tsv.gz", _table(("split", *known, "click", "cart", "buy", "like", "watch"), rows))


def _became(number: int) -> tuple[object, ...]:
    click, cart = number % 2, int(number % 4 == 1)
    return click, cart, int(number % 8 == 1), int(number % 6 == 1), click * (number % 9 + 1) / 10


MAKERS: Mapping[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        *(snips, clinc150, ud_ewt, ud_ewt_dep, vader, goemotions, tox21, crossre, sick, codah, policyqa, rnnlg),
        *(rooms, nyuv2, feedlog, emoji2, fsdd, omniglot_small),
    )
}


def make(folder: Path) -> Path:
    """Writes all of them; returns the folder."""
    for name, maker in MAKERS.items():
        maker(folder / name)
    return folder


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterable[str]:
    return ("\t".join(map(str, row)) + "\n" for row in (columns, *rows))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(lines).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
