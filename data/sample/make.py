"""Writes the sample: a shop for kitchenware, its documents, judgments and a click log with odd lines.

    python3 data/sample/make.py [FOLDER]

writes documents.jsonl, queries.jsonl, qrels.tsv, log.jsonl, log.csv and README.md into FOLDER, by default the folder of this
script. The same bytes on every machine: the standard library alone, and of its random numbers only `random()`, whose
sequence Python guarantees for a seed.
"""

import json
import random
import sys
from pathlib import Path

COLUMNS = ["search_id", "session_id", "user_id", "query", "doc_id", "position", "clicked", "dwell_seconds", "shown_at"]
PAGE = 8
PAGES = 75
START = 1_767_225_600  # 2026-01-01T00:00:00Z

# Group, then for each product: its name, what it is for, and the materials it is sold in.
PRODUCTS = {
    "hot drinks": [
        ("kettle", "Boils water for tea and coffee in a few minutes.", "enamel steel copper glass iron"),
        ("teapot", "Keeps loose leaf tea warm for a long breakfast.", "porcelain glass iron stoneware steel"),
        ("coffee maker", "Brews strong coffee on the stove.", "aluminium steel copper glass porcelain"),
    ],
    "pots and pans": [
        ("saucepan", "Simmers sauces, porridge and milk without burning.", "steel copper enamel aluminium iron"),
        ("frying pan", "Sears steaks and fries eggs evenly.", "iron steel copper aluminium ceramic"),
        ("casserole", "Braises stews in the oven for hours.", "iron enamel stoneware glass ceramic"),
        ("wok", "Stir-fries vegetables over high heat.", "iron steel aluminium enamel copper"),
    ],
    "baking": [
        ("baking tray", "Holds biscuits, rolls and roast potatoes.", "steel aluminium silicone enamel ceramic"),
        ("muffin tin", "Shapes twelve muffins at a time.", "steel silicone aluminium enamel iron"),
        ("cake tin", "Opens at the side, so that cakes come out whole.", "steel aluminium silicone glass enamel"),
        ("rolling pin", "Rolls pastry and pizza dough flat.", "beech marble steel bamboo silicone"),
        ("mixing bowl", "Gives dough and batter room to rise.", "steel glass stoneware bamboo plastic"),
    ],
    "knives and boards": [
        ("chef knife", "Chops herbs, onions and meat.", "steel ceramic damascus beech plastic"),
        ("bread knife", "Cuts crusty loaves without crushing them.", "steel ceramic damascus beech plastic"),
        ("cutting board", "Protects the worktop and the blade.", "beech bamboo marble plastic glass"),
        ("peeler", "Takes thin skins off potatoes and apples.", "steel ceramic plastic beech aluminium"),
    ],
    "small tools": [
        ("whisk", "Beats cream and egg whites stiff.", "steel silicone bamboo beech plastic"),
        ("spatula", "Turns pancakes and scrapes bowls clean.", "silicone beech steel bamboo plastic"),
        ("ladle", "Serves soup without spilling.", "steel beech silicone enamel plastic"),
        ("grater", "Shreds cheese, carrots and nutmeg.", "steel ceramic glass plastic aluminium"),
    ],
    "measuring and storage": [
        ("measuring jug", "Shows millilitres and cups on both sides.", "glass plastic steel enamel porcelain"),
        ("kitchen scale", "Weighs flour and spices to the gram.", "steel glass plastic bamboo marble"),
        ("storage jar", "Keeps rice, beans and tea dry.", "glass ceramic bamboo steel porcelain"),
        ("colander", "Drains pasta and washes salad.", "steel enamel plastic silicone bamboo"),
    ],
}
FEATURES = {
    "enamel": "The enamel is easy to clean and does not take on smells.",
    "steel": "Brushed stainless steel does not rust and goes into the dishwasher.",
    "copper": "Copper spreads heat faster than any other metal.",
    "glass": "Clear borosilicate glass shows what is inside.",
    "iron": "Cast iron stores heat and lasts for generations.",
    "porcelain": "White porcelain with a thin blue rim.",
    "stoneware": "Glazed stoneware, fired twice.",
    "aluminium": "Light aluminium with a handle that stays cool.",
    "ceramic": "The ceramic surface needs little oil and no polish.",
    "silicone": "Soft silicone, safe up to 230 degrees.",
    "beech": "Oiled beech from sustainable forests.",
    "marble": "Polished marble stays cool for hours.",
    "bamboo": "Bamboo is harder than most woods and grows back fast.",
    "plastic": "Tough plastic without plasticisers, in four colours.",
    "damascus": "Damascus steel, folded 67 times and sharpened by hand.",
}
# Query text, the product that is meant, and the material that is asked for.
QUERIES = [
    ("stovetop kettle", "kettle", None), ("copper kettle", "kettle", "copper"),
    ("teapot for loose tea", "teapot", None), ("glass teapot", "teapot", "glass"),
    ("moka pot", "coffee maker", None), ("espresso maker steel", "coffee maker", "steel"),
    ("small pot for milk", "saucepan", None), ("copper saucepan", "saucepan", "copper"),
    ("skillet", "frying pan", None), ("cast iron pan", "frying pan", "iron"),
    ("dutch oven", "casserole", None), ("enamel stew pot", "casserole", "enamel"),
    ("wok for stir fry", "wok", None), ("light wok aluminium", "wok", "aluminium"),
    ("cookie sheet", "baking tray", None), ("silicone baking mat tray", "baking tray", "silicone"),
    ("cupcake pan", "muffin tin", None), ("silicone muffin form", "muffin tin", "silicone"),
    ("springform", "cake tin", None), ("glass cake tin", "cake tin", "glass"),
    ("pastry roller", "rolling pin", None), ("marble rolling pin", "rolling pin", "marble"),
    ("bowl for dough", "mixing bowl", None), ("stoneware mixing bowl", "mixing bowl", "stoneware"),
    ("cooking knife", "chef knife", None), ("damascus chef knife", "chef knife", "damascus"),
    ("knife for bread", "bread knife", None), ("chopping board", "cutting board", None),
    ("bamboo cutting board", "cutting board", "bamboo"), ("potato peeler", "peeler", None),
    ("egg beater", "whisk", None), ("silicone whisk", "whisk", "silicone"),
    ("pancake turner", "spatula", None), ("soup ladle", "ladle", None),
    ("cheese grater", "grater", None), ("measuring cup", "measuring jug", None),
    ("digital scale", "kitchen scale", None), ("airtight jar", "storage jar", None),
    ("glass jar for rice", "storage jar", "glass"), ("pasta strainer", "colander", None),
]

rng = random.Random(20260101)


def pick(items):
    return items[int(rng.random() * len(items))]


def documents():
    """(id, product, group, material, title, summary) of each document, ids with leading zeros."""
    made = []
    for group, products in PRODUCTS.items():
        for product, purpose, materials in products:
            for material in materials.split():
                size = pick(["small", "large", "family size", "compact", "classic"])
                title = f"{material.capitalize()} {product}, {size}"
                made.append((f"{101 + 7 * len(made):06}", product, group, material, title, f"{purpose} {FEATURES[material]}"))
    return made


def grade(query, document):
    """4: all that is asked for; 3: the product, if no material is asked for; 2: the product alone; 1: its group."""
    _, wanted, material = query
    _, product, group, of, *_ = document
    if product == wanted:
        return 3 if material is None else 4 if of == material else 2
    names = [name for name, *_ in PRODUCTS[group]]
    return 1 if wanted in names else 0


def judgments(docs):
    """Eight judged documents of each query: its product, its group, and something else."""
    rows = []
    for number, query in enumerate(QUERIES, 1):
        graded = [(grade(query, document), document[0]) for document in docs]
        same = [pair for pair in graded if pair[0] > 1]
        group = [pair for pair in graded if pair[0] == 1]
        other = [pair for pair in graded if pair[0] == 0]
        chosen = same + [pick(group[: len(group) // 2]), pick(group[len(group) // 2 :]), pick(other)]
        rows += [(f"q{number:02}", doc_id, value) for value, doc_id in sorted(chosen, key=lambda pair: pair[1])]
    return rows


def page(number, session, user, query, docs):
    """The events of one result page: better documents tend to stand higher, and to be clicked."""
    ranked = sorted(docs, key=lambda document: -grade(query, document) - 2 * rng.random())
    shown = ranked[: PAGE - 2] + [pick(ranked[PAGE:60]), pick(ranked[60:])]
    events = []
    for position, document in enumerate(shown, 1):
        chance = [0.03, 0.1, 0.3, 0.6, 0.8][grade(query, document)] / (1 + 0.25 * (position - 1))
        clicked = rng.random() < chance
        events.append({
            "search_id": f"s{number:04}",
            "session_id": session,
            "user_id": user,
            "query": query[0],
            "doc_id": document[0],
            "position": position,
            "clicked": clicked,
            "dwell_seconds": round(20 + 160 * rng.random(), 1) if clicked else None,
            "shown_at": START + 3600 * number,
        })
    return events


def sessions(docs):
    """All events of ordinary visitors: sessions of one or two pages."""
    events, number = [], 0
    while number < PAGES:
        session = f"v{len(events):05}"
        user = f"u{int(rng.random() * 40):03}" if rng.random() < 0.7 else None
        for _ in range(1 if rng.random() < 0.5 else 2):
            query = QUERIES[number % len(QUERIES)]
            number += 1
            events += page(number, session, user, query, docs)
    return events


def robot(docs):
    """A session that clicks all that it is shown, on three pages."""
    events = []
    for number in range(3):
        for event in page(9000 + number, "v99999", None, QUERIES[7 * number], docs):
            events.append({**event, "clicked": True, "dwell_seconds": 0.5})
    return events


# The reason of rows whose values go into another one.
MERGED = "event of a result that has another row"
REPEATED = "result of a search logged again"


class Log:
    """The lines of one log file, and what the odd ones are for."""

    def __init__(self, name, render, end="\n"):
        self.name, self.render, self.end = name, render, end
        self.data, self.line, self.records, self.notes = b"", 0, 0, []

    def add(self, text, why=None, reject=None, end=None, records=1):
        """Adds a record, text or bytes, with the note `why` and the `reject` reason if ingest leaves it out."""
        raw = text if isinstance(text, bytes) else text.encode()
        first, self.line = self.line + 1, self.line + 1 + raw.count(b"\n")
        self.data += raw + (end or self.end).encode()
        self.records += records
        if why:
            self.notes.append((first, why, reject))

    def event(self, event, why=None, reject=None, **changed):
        self.add(self.render({**event, **changed}), why, reject)


def json_line(event):
    return json.dumps(event, ensure_ascii=False)


def csv_line(event):
    def cell(value):
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text

    return ",".join(cell(event.get(column)) for column in COLUMNS)


def shared_odd_lines(log, events):
    """Odd lines of both formats, each put behind an ordinary line of the log: by the number of that line."""
    def at(number, **changed):
        return {**events[number], "search_id": f"odd{number:03}", **changed}

    def put(number, why, reject=None, **changed):
        odd[number] = lambda: log.event(at(number, **changed), why, reject)

    odd = {}
    put(20, "a click without an impression: nobody logged where the document stood", "click without a position or an impression of its document",
        position=None, clicked=True)
    put(31, "a position below the first", "position is outside of the page", position=0)
    put(42, "a position that is no whole number", "position is not a whole number", position="2.5")
    put(53, "a third state of a click",
        "clicked is neither true nor false; say what its values mean in ingest.log.clicked_values", clicked="maybe")
    put(64, "a negative dwell time: kept, without it", clicked=True, dwell_seconds=-3)
    put(75, "a click whose dwell time is missing: kept, but not as a satisfied click", clicked=True, dwell_seconds=None)
    put(86, "a time that is none: kept, without it", shown_at="yesterday")
    put(97, "a time as `/Date(milliseconds)/`: kept", shown_at=f"/Date({START + 97_000}000)/")
    put(108, "a time with a zone, as RFC 3339 has it: kept", shown_at="2026-01-04T13:00:00+01:00")
    put(119, "a time in milliseconds: kept", shown_at=(START + 119_000) * 1000)
    put(130, "a document that the shop no longer has", "document not in the document table", doc_id="999999")
    put(141, "a document id that lost its leading zeros, as spreadsheets do: kept, `doc_id_width` fills them in",
        doc_id=events[141]["doc_id"].lstrip("0"))
    put(152, "a search without a text", "empty query", query="  ")
    put(163, "a text that somebody pasted into the search field", "query too long", query="best kitchen " * 20)
    put(174, "another spelling of a query: kept, as the same query", query=f" {events[174]['query'].upper()}  ")
    return odd


def fill(log, events, robots, odd):
    """Writes the ordinary events, and the odd lines behind them."""
    for number, event in enumerate(events):
        if number == 210:
            log.event(event, "the impression of a result whose click comes later: kept, with the click", clicked=False,
                      dwell_seconds=None)
            log.event(event, "the click on it", MERGED, clicked=True, dwell_seconds=48.5)
        else:
            log.event(event)
        if number == 200:
            log.event(event, "the line above once more: the first is kept", MERGED)
        if number == 220:
            first = events[number - number % PAGE]
            log.event(first, "the first document of the page again, at its end: the higher place is kept",
                      REPEATED, position=PAGE + 1, clicked=False, dwell_seconds=None)
        if number == 320:
            for line in robots:
                log.event(line, "a robot: a session of three pages that clicks everything", "session of a robot")
        if number in odd:
            odd[number]()


def write_jsonl(events, robots):
    log = Log("log.jsonl", json_line)
    odd = shared_odd_lines(log, events)
    line = json_line(events[400])
    odd[340] = lambda: log.add(line[: len(line) // 2], "a line that was cut off", "not a JSON object")
    odd[350] = lambda: log.event(events[350], "an array in place of a value", "query is not a single value: it is a list",
                                 search_id="odd350", query=["kettle", "teapot"])
    odd[360] = lambda: log.event(events[360], "a document id as a number: kept, as text", search_id="odd360",
                                 doc_id=int(events[360]["doc_id"]))
    odd[370] = lambda: log.add(line.encode().replace(b"s00", b"s\x0000", 1), "a NUL byte", "NUL byte")
    odd[380] = lambda: log.add(line.encode().replace(b"s00", b"s\xff\xfe", 1), "bytes that are not UTF-8", "invalid UTF-8")
    odd[390] = lambda: log.add("", "an empty line: passed over, it is no record", records=0)
    odd[410] = lambda: log.add(json_line({**events[410], "search_id": "odd410"}), "a line that ends in \\r\\n: kept", end="\r\n")
    fill(log, events, robots, odd)
    log.add(f"({log.records} rows affected)", "the row count that a database client wrote behind the rows",
            "row count after the rows")
    return log


def write_csv(events, robots):
    log = Log("log.csv", csv_line, end="\r\n")
    header = ",".join(COLUMNS)
    log.add("\ufeff" + header, "the header, behind a byte-order mark: neither is a record", records=0)
    odd = shared_odd_lines(log, events)
    cells = csv_line({**events[400], "search_id": "odd400"}).split(",")
    odd[340] = lambda: log.add(header, "the header once more, where two files were joined", "repeated header")
    odd[350] = lambda: log.add(",".join(cells[:-2]), "a ragged row: two fields are missing", "wrong number of fields")
    odd[355] = lambda: log.add(",".join([*cells, "x"]), "a ragged row: a field too many", "wrong number of fields")
    odd[360] = lambda: log.event(events[360], "a quoted field with a comma and a line break: kept, a record of two lines",
                                 search_id="odd360", query="whisk,\nbig")
    odd[365] = lambda: log.add(",".join([*cells[:3], '"kettle" red', *cells[4:]]), "text behind a closing quote",
                               "text after a closing quote")
    line = csv_line(events[400]).encode()
    odd[370] = lambda: log.add(line.replace(b"s00", b"s\x0000", 1), "a NUL byte", "NUL byte")
    odd[380] = lambda: log.add(line.replace(b"s00", b"s\xff\xfe", 1), "bytes that are not UTF-8", "invalid UTF-8")
    odd[390] = lambda: log.add("", "an empty line: passed over, it is no record", records=0)
    odd[410] = lambda: log.add(csv_line({**events[410], "search_id": "odd410"}),
                               "a line that ends in \\n, where all others end in \\r\\n: kept", end="\n")
    fill(log, events, robots, odd)
    log.add(f"({log.records} rows affected)", "the row count that a database client wrote behind the rows",
            "row count after the rows")
    return log


def write_documents(docs):
    log = Log("documents.jsonl", json_line)
    for number, (doc_id, _, _, _, title, summary) in enumerate(docs):
        if number == 30:
            log.event({"id": doc_id, "name": title, "text": ""}, "a document without a text: kept, with its title")
            continue
        if number == 2:
            log.event({"id": doc_id, "name": title, "text": summary}, "an id that a later line has, with other texts",
                      "document id seen before with another text")
            continue
        log.event({"id": doc_id, "name": title, "text": summary})
        if number == 60:
            log.event({"id": docs[2][0], "name": "Copper kettle, new photo", "text": "A second entry."},
                      "the later line: kept, as the first of both in byte-wise order")
        if number == 90:
            log.add('{"id": "000742", "name": "Steel', "a line that was cut off", "not a JSON object")
    return log


def write_queries():
    log = Log("queries.jsonl", json_line)
    for number, (text, *_) in enumerate(QUERIES, 1):
        log.event({"_id": f"q{number:02}", "text": text})
    log.event({"_id": "q41", "text": "Stovetop  Kettle"}, "another id of the text of `q01`: kept, as the same query")
    return log


def write_qrels(rows):
    log = Log("qrels.tsv", lambda row: "\t".join(map(str, row)))
    log.add("query-id\tcorpus-id\tscore", records=0)
    for row in rows:
        log.add(log.render(row))
    log.add(log.render(("q02", "999999", 4)), "a judgment of a document that the shop no longer has",
            "document not in the document table")
    log.add(log.render(("q41", rows[0][1], 1)), "a lower grade of the same document for the same text as `q01`",
            "judged as high or higher under another id of the same query text")
    return log


README = """# Sample

Made by `python3 data/sample/make.py`, the same bytes every time: a shop for kitchenware with {documents} documents, {queries} queries and a click
log of {pages} result pages, once as JSON lines and once as CSV. Nothing here is from anywhere else.

    just config=configs/sample.toml run-all

The log is dirty on purpose. The tables below name every odd line, what it is for, and what `ingest` does with it under
`configs/sample.toml`: a line is kept, or it becomes a row of `rejects` with the reason given. Every other line is an ordinary
one. `tests/pipeline/sample.rs` checks that this is all that is rejected.

| file | records | rows | rejects |
| --- | --- | --- | --- |
{totals}
"""


def readme(logs, counts):
    totals = []
    for log in logs:
        rejects = sum(1 for *_, reject in log.notes if reject)
        totals.append(f"| {log.name} | {log.records} | {log.records - rejects} | {rejects} |")
    text = README.format(totals="\n".join(totals), **counts)
    for log in logs:
        if not log.notes:
            continue
        text += f"\n## {log.name}\n\n| line | what it is | rejected as |\n| --- | --- | --- |\n"
        grouped = []
        for line, why, reject in log.notes:
            if grouped and grouped[-1][2:] == [why, reject] and grouped[-1][1] + 1 == line:
                grouped[-1][1] = line
            else:
                grouped.append([line, line, why, reject])
        for first, last, why, reject in grouped:
            lines = str(first) if first == last else f"{first}-{last}"
            text += f"| {lines} | {why} | {reject or ''} |\n"
    return text


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    docs = documents()
    rows = judgments(docs)
    events, robots = sessions(docs), robot(docs)
    logs = [
        write_documents(docs),
        write_queries(),
        write_qrels(rows),
        write_jsonl(events, robots),
        write_csv(events, robots),
    ]
    for log in logs:
        (folder / log.name).write_bytes(log.data)
    pages = len({event["search_id"] for event in events + robots})
    counts = {"documents": len(docs), "queries": len(QUERIES), "pages": pages}
    (folder / "README.md").write_bytes(readme(logs, counts).encode())


main()
