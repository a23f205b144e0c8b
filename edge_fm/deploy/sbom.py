"""Write the software bill of materials of a bundle as CycloneDX 1.6 JSON."""

import hashlib
from collections.abc import Mapping, Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

from edge_fm_runtime import __version__
from edge_fm_runtime.artifact.model_file import read_passport

if TYPE_CHECKING:
    from cyclonedx.model.component import Component


def make_sbom(wheels: Sequence[Path], models: Mapping[str, bytes], name: str) -> str:
    """Return the bill of materials of a bundle as JSON.

    Args:
        wheels: paths of the wheels.
        models: content of the `.onnx` files by file name.
        name: name of the bundle.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    bom = Bom(components=[*map(_wheel, wheels), *(_model(file, data) for file, data in models.items())])
    bom.metadata.component = Component(
        name=name, type=ComponentType.FIRMWARE, version=__version__, bom_ref="bundle"
    )
    for component in bom.components:
        bom.register_dependency(bom.metadata.component, [component])
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def name_and_version(wheel: Path) -> tuple[str, str]:
    """Return the name and version in the file name of a wheel."""
    name, version = wheel.name.split("-")[:2]
    return name.replace("_", "-"), version


def _wheel(wheel: Path) -> "Component":
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    metadata = _metadata(wheel)
    name, version = metadata["Name"], metadata["Version"]
    licence = (
        metadata.get("License-Expression") or _classifier_licence(metadata) or metadata.get("License", "")
    )
    licence = licence.splitlines()[0] if licence else ""
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}=={version}",
        description=metadata.get("Summary"),
        purl=PackageURL("pypi", name=name.lower(), version=version, qualifiers={"file_name": wheel.name}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(wheel.read_bytes()).hexdigest())],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else None,
    )


def _metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        entry = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(entry), headersonly=True)


def _classifier_licence(metadata: Message) -> str:
    """Return the licence named in the classifiers, or an empty string."""
    found = [str(line) for line in metadata.get_all("Classifier", []) if str(line).startswith("License ::")]
    return found[0].rpartition(" :: ")[2] if found else ""


def _model(file: str, data: bytes) -> "Component":
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    passport = read_passport(data)
    licence = passport.provenance.licence if passport is not None else ""
    digest = hashlib.sha256(data).hexdigest()
    return Component(
        name=file,
        version=digest[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=file,
        description=f"classifies {', '.join(passport.labels)}" if passport is not None else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else None,
    )
