"""Choose the people whose photographs are held out for validation.

    python benchmarks/photo_split.py PHOTOS

PHOTOS holds `contributors.csv` (path, contributor) over `train/` and `validation/`. A random fifth of the
people, from a fixed seed, is held out with all their photographs, once and before any training. Writes
`photo_split.json` beside this script.
"""

import csv
import json
import random
import sys
from collections import Counter
from pathlib import Path

SEED = 20
SHARE = 0.2


def main() -> None:
    """Choose the people, write the file and print the counts."""
    with (Path(sys.argv[1]) / "contributors.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    people = sorted({row["contributor"] for row in rows})
    held_out = set(random.Random(SEED).sample(people, round(SHARE * len(people))))  # noqa: S311  # a draw, no secret
    paths = sorted(row["path"] for row in rows if row["contributor"] in held_out)
    split = {"seed": SEED, "share": SHARE, "people": sorted(held_out), "held_out": paths}
    out = Path(__file__).with_name("photo_split.json")
    out.write_text(json.dumps(split, indent=1) + "\n", encoding="utf-8")
    classes = Counter(path.split("/")[1] for path in paths)
    print(
        f"{len(held_out)} of {len(people)} people, {len(paths)} of {len(rows)} photographs: {dict(classes)}"
    )


if __name__ == "__main__":
    main()
