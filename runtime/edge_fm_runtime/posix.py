"""What exists on POSIX only, with what stands in for it elsewhere. `edge-fm doctor` says what is off."""

import sys
from typing import BinaryIO

if sys.platform == "win32":

    def lock_file(file: BinaryIO) -> bool:
        """Take an exclusive lock that ends with the process; False if another holds it."""
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def lock_file(file: BinaryIO) -> bool:
        """Take an exclusive lock that ends with the process; False if another holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
