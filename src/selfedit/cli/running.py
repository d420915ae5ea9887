"""Where the trials of `train` and `eval` run: in this process, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from selfedit.console.common import one_of
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.runners.stored import Runners
    from selfedit.seams import Model


@dataclass
class Running:
    """Where self-edits are trained and tested."""

    runner: Annotated[
        str, typer.Option("--runner", help="Where self-edits train: local (this process) or ray.")
    ] = "local"
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            help="Ray cluster, HOST:6379 or auto (default: Ray is started on this machine).",
        ),
    ] = None
    ray_workers: Annotated[
        int | None,
        typer.Option("--ray-workers", min=1, help="Workers at most (default: as many as fit)."),
    ] = None

    def check(self, sampler: str = "own") -> None:
        """Raises InputError for options that do not fit together, and where Ray is not installed.
        sampler: who writes texts."""
        one_of("--runner", self.runner, ("local", "ray"))
        if self.runner == "ray" and sampler != "own":
            raise InputError(
                f"--runner ray: workers write their own answers; leave --sampler {sampler} out."
            )
        if self.runner == "ray":
            from selfedit.runners.ray import import_ray

            import_ray()
        elif self.ray_address is not None or self.ray_workers is not None:
            raise InputError("--ray-address and --ray-workers need --runner ray.")

    @contextmanager
    def runners(self, load: Callable[[str], Model]) -> Iterator[Runners]:
        """Makes the runner of a run. load: loads a model, or a trained policy, by its name."""
        from selfedit.runners.local import LocalRunner

        if self.runner == "local":
            yield LocalRunner
            return
        from selfedit.runners.ray import Cluster

        with Cluster(load, address=self.ray_address, workers=self.ray_workers) as cluster:
            yield cluster.runner
