"""Runs the Python of an exported folder's card as it stands there.

    python card_code.py FOLDER < pair.json

stdin: [query, document]. stdout: the logits that the sections ONNX Runtime and OpenVINO compute.
"""

import json
import os
import pathlib
import re
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

if __name__ == "__main__":
    folder = sys.argv[1]
    query, document = json.load(sys.stdin)
    sections = re.split(r"^### ", pathlib.Path(folder, "README.md").read_text(encoding="utf8"), flags=re.M)
    sections = dict(section.split("\n", 1) for section in sections[1:])
    names, found = {}, {}
    for title in "ONNX Runtime", "OpenVINO":
        code = "\n".join(line[4:] for line in sections[title].splitlines() if line.startswith("    "))
        code = code.replace('["a query"]', repr([query])).replace('["a document"]', repr([document]))
        exec(code.replace("FOLDER", folder), names)
        found[title] = names["logits"].ravel().tolist()
    json.dump(found, sys.stdout)
