"""The command that packs for a device: bundle."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import options, terminal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bundle", rich_help_panel=options.DEPLOY)(bundle)


def bundle(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Bundled models' names or .onnx files.", show_default=False),
    ],
    out: Annotated[Path, options.out_option("A new folder, or a .tar.gz file.", default=False)],
    platform: Annotated[
        str,
        typer.Option(
            metavar="PLATFORM", help="linux-aarch64 (Raspberry Pi with a 64-bit system) or linux-x86_64."
        ),
    ] = "linux-aarch64",
    python: Annotated[
        str, typer.Option(metavar="VERSION", help="Python version of the device: 3.11, 3.12 or 3.13.")
    ] = "3.11",
    extras: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="EXTRA",
            help="Extras to pack: web (the page of 'webcam --view web') or parquet. Repeatable.",
            show_default="none",
        ),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Wheel of edge-fm itself.", show_default="built from this checkout"
        ),
    ] = None,
) -> None:
    """Pack models and wheels for a device that has no network.

    Copy the folder to the device and run there: sh install.sh

    Example: edge-fm bundle fashion -o pi/
    Example: edge-fm bundle fashion digits --platform linux-x86_64 -o shop.tar.gz
    """
    from edge_fm.deploy import bundle as packing
    from edge_fm.deploy import wheels
    from edge_fm_runtime.errors import DataError

    if python not in wheels.PYTHONS:
        raise DataError(f"--python {python}: there are wheels for {', '.join(wheels.PYTHONS)}")
    unknown = set(extras or ()) - set(wheels.EXTRAS)
    if unknown:
        raise DataError(f"--with {', '.join(sorted(unknown))}: the extras are {' and '.join(wheels.EXTRAS)}")
    request = packing.BundleRequest(
        models=models,
        out=out,
        platform=wheels.find_platform(platform),
        python=python,
        extras=tuple(dict.fromkeys(extras or ())),
        wheel=wheel,
    )
    with terminal.progress("bundle") as bar:
        made = packing.make(request, lambda step: bar(0, 0, step))
    rows = [[name, version] for name, version in made.wheels]
    terminal.print_table(["wheel", "version"], rows, f"for {platform}, Python {python}")
    terminal.print_line(
        f"{made.path}: {made.size_bytes / 1e6:,.0f} MB, {made.installed_bytes / 1e6:,.0f} MB installed"
    )
    terminal.print_line(f"next: copy {made.path} to the device and run there: sh install.sh")
