"""The recorded runs of the original (the public release of arXiv 2506.10943), read into the store."""

from selfedit.release.record import ImportResult, import_release
from selfedit.release.run import RecordedArticle, RecordedEdit, RecordedRun, read_release

__all__ = [
    "ImportResult",
    "RecordedArticle",
    "RecordedEdit",
    "RecordedRun",
    "import_release",
    "read_release",
]
