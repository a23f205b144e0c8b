"""Read docs/zoo.json, the measurements of the zoo that `benchmarks/zoo.py` writes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_fm_runtime.errors import DataError

COLUMNS = ("to reach: reached", "source ", "fp32 ", "int8 ", "fp32 kB ", "int8 kB ", "fp32 us ", "int8 us ")
"""Column titles: figures of the source and ours, test accuracies, file sizes, median latencies for one image.
Columns that end in a space are numbers."""

_INSTALLED = Path(__file__).parent / "zoo.json"
_CHECKOUT = Path(__file__).parents[2] / "docs" / "zoo.json"


@dataclass(frozen=True)
class Table:
    """Measurements of every model of the zoo.

    Attributes:
        raw: content of docs/zoo.json.
    """

    raw: Mapping[str, Any]

    @property
    def description(self) -> str:
        """Date and processor of the measurement."""
        return f"measured {self.raw['measured']} on {self.raw['processor']}"

    def cells(self, name: str) -> list[str]:
        """Return a model's figures in the order of `COLUMNS`, with dashes where there are none."""
        row = next((row for row in self.raw["rows"] if row["name"] == name), None)
        if row is None:
            return ["-"] * len(COLUMNS)
        fp32, int8 = row["fp32"], row["int8"] if row["int8"]["precision"] == "int8" else None
        return [
            ", ".join(map(_figure, row["figures"])) or "-",
            f"{row['source_accuracy']:.4f}",
            f"{fp32['accuracy']:.4f}",
            f"{int8['accuracy']:.4f}" if int8 else "-",
            f"{fp32['size_bytes'] / 1000:,.0f}",
            f"{int8['size_bytes'] / 1000:,.0f}" if int8 else "-",
            f"{fp32['latency_us']:.0f}",
            f"{int8['latency_us']:.0f}" if int8 else "-",
        ]

    def markdown(self) -> str:
        """Return the text of docs/zoo.md."""
        rows = self.raw["rows"]
        lines = [
            _HEAD.format(
                description=self.description,
                tools=", ".join(f"{k} {v}" for k, v in self.raw["tools"].items()),
            )
        ]
        lines += ["| " + " | ".join(("name", "data", "parameters", *(c.strip() for c in COLUMNS))) + " |"]
        lines += ["| --- | --- | --: | --- |" + " --: |" * (len(COLUMNS) - 1)]
        lines += [
            f"| `{row['name']}` | {row['data']} | {row['parameters']:,} | {' | '.join(self.cells(row['name']))} |"
            for row in rows
        ]
        lines += ["", "## Where each figure comes from", ""]
        lines += ["| model | figure | part | trained with | source | ours | each seed | reached |"]
        lines += ["| --- | --- | --- | --- | --: | --: | --- | --- |"]
        lines += [_reference(row["name"], item) for row in rows for item in row["figures"]]
        for row in rows:
            if row["int8"]["precision"] != "int8":
                lines += ["", f"`{row['name']}`: {row['int8']['refused']}"]
            if row["per_class"]:
                lines += [
                    "",
                    f"## `{row['name']}`, each class by itself",
                    "",
                    "| class | precision | recall |",
                ]
                lines += ["| --- | --: | --: |"]
                lines += [
                    f"| {c['name']} | {c['precision']:.4f} | {c['recall']:.4f} |" for c in row["per_class"]
                ]
        return "\n".join(lines) + "\n"


def _figure(item: Mapping[str, Any]) -> str:
    kind = "" if item["metric"] == "accuracy" else f"{item['metric']} "
    part = "" if item["part"] == "test" else f" ({item['part']})"
    return f"{kind}{item['value']:g}: {item['measured']:.4f}{part}"


def _reference(name: str, item: Mapping[str, Any]) -> str:
    varied = ", ".join(f"{key} {value}" for key, value in item["varied"].items()) or "its own settings"
    source = f"{item['value']:g}" + (f", mean of {item['runs']}" if item["runs"] > 1 else "")
    slack = f" (within {item['slack']:g})" if item["slack"] else ""
    each = ", ".join(f"{value:.4f}" for value in item["each"])
    verdict = f"{'yes' if item['reached'] else '**no**'}{slack}"
    return f"| `{name}` | {item['metric']} | {item['part']} | {varied} | {source} | {item['measured']:.4f} | {each} | {verdict} |"


_HEAD = """# The zoo, measured

`edge-fm zoo` lists these classifiers, which come from the tutorials behind this project, and
`edge-fm zoo NAME` shows the layers, options and settings of one. Train one with
`edge-fm train DATA --model NAME -o RUN` ([train.md](train.md)), then export it ([export.md](export.md)).

`benchmarks/zoo.py` trained each from nothing, exported it, verified the files and timed them. It writes
docs/zoo.json, the source of this page and of `edge-fm zoo`.
All of it was {description}
({tools}).

- `to reach: reached` is the figure that the source shows, and ours: the mean of three seeds if the source
  shows a mean of several runs, else one run. Some sources stopped their training on the test set itself. Ours
  stop on a part of the training set, so a figure within 0.003 of a mean or 0.01 of a single run counts as
  reached.
- `source` is the test accuracy of the model in its framework, with the first seed; `fp32` and `int8` are those
  of its files. A dash under int8 means that no candidate stayed within the limits.
- Microseconds are medians for one image on one thread, all files in turn.
"""


def load() -> Table:
    """Read docs/zoo.json, or its copy in an installed package.

    Raises:
        DataError: the file is missing or broken.
    """
    path = _INSTALLED if _INSTALLED.is_file() else _CHECKOUT
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Table({**raw, "rows": list(raw["rows"])})
    except FileNotFoundError:
        raise DataError("docs/zoo.json is missing: write it with benchmarks/zoo.py") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is broken ({error}): write it again with benchmarks/zoo.py") from error
