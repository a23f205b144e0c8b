"""Make a self-signed certificate: browsers share their camera with HTTPS pages only."""

import datetime as dt
import ipaddress
import os
import socket
from pathlib import Path

from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.untrusted.regular_file import read_bytes

_MAX_BYTES = 2**20

_DAYS = 397
"""Browsers refuse longer-lived certificates (CA/Browser Forum ballot SC-31)."""


def folder() -> Path:
    """Return the folder of the certificate, which is reused so that a browser asks only once."""
    state = os.environ.get("STATE_DIRECTORY") or os.environ.get("XDG_STATE_HOME")
    return Path(state or Path.home() / ".local" / "state") / "edge-fm"


def own_certificate(where: Path, addresses: tuple[str, ...]) -> tuple[Path, Path]:
    """Return certificate and key; create them unless valid ones for these names exist.

    Args:
        where: the folder.
        addresses: host names and addresses that it must name, besides localhost and this machine's name.

    Raises:
        OutputError: the folder cannot be written.
        SourceError: the library that makes certificates is missing.
    """
    names = tuple(dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname(), *addresses)))
    certificate, key = where / "cert.pem", where / "key.pem"
    try:
        if not _is_valid(certificate, key, names):
            _make(certificate, key, names)
    except ImportError:
        raise SourceError("a certificate needs 'cryptography': pip install 'edge-fm[web]'") from None
    except OSError as error:
        raise OutputError(f"{where} cannot be written: {error.strerror}. Give --tls CERT KEY") from error
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 fingerprint of a certificate file, as browsers show it.

    Raises:
        SourceError: the file is no certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        loaded = x509.load_pem_x509_certificate(read_bytes(certificate, _MAX_BYTES))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{certificate} is no certificate in PEM form ({error}): give --tls CERT KEY"
        ) from error
    return loaded.fingerprint(hashes.SHA256()).hex(":").upper()


def _is_valid(certificate: Path, key: Path, names: tuple[str, ...]) -> bool:
    from cryptography import x509

    if not certificate.is_file() or not key.is_file():
        return False
    try:
        loaded = x509.load_pem_x509_certificate(read_bytes(certificate, _MAX_BYTES))
        found = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    named = {str(entry.value) for entry in found}
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    return set(names) <= named and loaded.not_valid_after_utc > soon


def _make(certificate: Path, key: Path, names: tuple[str, ...]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge-fm")])
    today = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(hours=1))
        .not_valid_after(today + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, secret)
    _write(certificate, built.public_bytes(serialization.Encoding.PEM))


def _general_name(name: str) -> "x509.GeneralName":  # type: ignore[name-defined]  # noqa: F821  # a light start
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name.encode("idna").decode())
    except ValueError as error:
        raise SourceError(
            f"--name {name!r} is not a host name ({error}): give one such as pi.local"
        ) from error


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        file.write(data)
    partial.replace(path)
