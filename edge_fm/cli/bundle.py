"""The command that packs for a device: bundle."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bundle")(bundle)


def bundle(
    models: Annotated[
        list[str],
        typer.Argument(help="Bundled models by name, or .onnx files.", metavar="MODEL", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A new folder, or a .tar.gz file.", show_default=False)
    ],
    platform: Annotated[
        str, typer.Option(help="linux-aarch64 (Raspberry Pi with a 64-bit system) or linux-x86_64.")
    ] = "linux-aarch64",
    python: Annotated[str, typer.Option(help="The device's Python: 3.11, 3.12 or 3.13.")] = "3.11",
    extras: Annotated[
        list[str] | None,
        typer.Option("--with", help="web (the page for browsers), parquet.", show_default="neither"),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(help="edge-fm's own wheel.", show_default="built from the checkout that this runs from"),
    ] = None,
) -> None:
    """Pack models and all they need for a device without a network: copy the folder there, then: sh install.sh.

    Example: edge-fm bundle fashion.onnx -o pi/

    Example: edge-fm bundle fashion digits --platform linux-x86_64 --with web -o shop.tar.gz
    """
    from edge_fm.deploy import bundle as packing
    from edge_fm.deploy import wheels
    from edge_fm_runtime.errors import DataError

    if python not in wheels.PYTHONS:
        raise DataError(f"--python {python}: there are wheels for {', '.join(wheels.PYTHONS)}")
    unknown = set(extras or ()) - set(wheels.EXTRAS)
    if unknown:
        raise DataError(f"--with {', '.join(sorted(unknown))}: there is {' and '.join(wheels.EXTRAS)}")
    order = packing.BundleRequest(
        models=models,
        out=out,
        platform=wheels.find_platform(platform),
        python=python,
        extras=tuple(dict.fromkeys(extras or ())),
        wheel=wheel,
    )
    with terminal.progress("bundle") as bar:
        made = packing.make(order, lambda what: bar(0, 0, what))
    rows = [[name, version] for name, version in made.wheels]
    terminal.table(["wheel", "version"], rows, f"for {platform}, Python {python}")
    terminal.say(
        f"{made.path}: {made.size_bytes / 1e6:,.0f} MB; installed, its wheels take {made.installed_bytes / 1e6:,.0f} MB"
    )
    terminal.say(f"next: copy {made.path} to the device, and there: sh install.sh")
