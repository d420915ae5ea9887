"""Whether a folder lies on a network file system, where SQLite's locks and shared memory may not hold.

https://sqlite.org/wal.html: all processes that use a database in WAL mode must be on the same machine.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/mounts")  # Linux; elsewhere there is nothing to tell it by
_NETWORK = re.compile(
    r"(?:nfs4?|cifs|smb\w*|ncpfs|afs|9p|ceph|lustre|gpfs|beegfs|glusterfs|orangefs|pvfs2|davfs|vboxsf|drvfs"
    r"|fuse\.(?:sshfs|s3fs|s3ql|rclone|gcsfuse|mount-s3|goofys|blobfuse2?|glusterfs|ceph|davfs2?|juicefs"
    r"|vmhgfs-fuse|curlftpfs|smbnetfs|cephfs))"
)


def network_file_system(folder: Path, mounts: Path | None = None) -> tuple[str, str] | None:
    """(kind, mount point) of the network file system that a folder lies on, or will lie on; None for
    any other.

    mounts: a table as Linux keeps it; None: this machine's. Links are followed.
    """
    try:
        lines = (mounts or _MOUNTS).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        whole = folder.expanduser().resolve()
    except (OSError, RuntimeError):
        return None
    best: tuple[int, str, str] = (-1, "", "")
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        if whole.is_relative_to(point) and len(point) >= best[0]:  # the last of equals lies on top
            best = len(point), fields[2], point
    return (best[1], best[2]) if _NETWORK.fullmatch(best[1]) else None


def advice(folder: Path, mounts: Path | None = None) -> str:
    """One sentence for who keeps a library there; "" on a local file system."""
    found = network_file_system(folder, mounts)
    if found is None:
        return ""
    return (
        f"The library is on a network file system ({found[0]}, {found[1]}): let one machine at a time "
        "use it, or keep it on a local disk (--library) and copy the folder."
    )
